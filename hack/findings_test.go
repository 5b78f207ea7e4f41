package hack

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"testing"
)

// Findings must be made with finding.New, which sets the layer of each ID. A literal could
// have a wrong layer.
func TestFindingsAreMadeFromTheTable(t *testing.T) {
	eachGoFile(t, func(path string, files *token.FileSet, file *ast.File) {
		if filepath.Base(filepath.Dir(path)) == "finding" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.CompositeLit); ok && len(literal.Elts) > 0 && isFinding(literal.Type) {
				t.Errorf("%s: make this finding with finding.New", files.Position(literal.Pos()))
			}
			return true
		})
	})
}

func isFinding(typ ast.Expr) bool {
	s, ok := typ.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Finding" {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "finding"
}
