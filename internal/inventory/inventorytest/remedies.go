package inventorytest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Remedies are all remedies that advice.go of package inventory declares. They
// are read from the file, so that a test about each of them meets new ones too.
func Remedies(file string) ([]inventory.Remedy, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var remedies []inventory.Remedy
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		kind, isName := spec.Type.(*ast.Ident)
		words, isText := spec.Values[0].(*ast.BasicLit)
		if !isName || kind.Name != "Remedy" || !isText {
			return true
		}
		text, quoted := strconv.Unquote(words.Value)
		if quoted != nil {
			err = quoted
		}
		remedies = append(remedies, inventory.Remedy(text))
		return true
	})
	if err == nil && len(remedies) == 0 {
		err = fmt.Errorf("%s declares no remedies", file)
	}
	return remedies, err
}
