package apply

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/term"
)

func TestTheEndOfCloudInit(t *testing.T) {
	for text, want := range map[string]struct {
		ended   bool
		problem string
	}{
		`{"status":"running"}`:                              {false, ""},
		`{"status":"not started"}`:                          {false, ""},
		`{"status":"done","detail":"DataSourceNoCloud"}`:    {true, "DataSourceNoCloud"},
		`{"status":"error","errors":["\u001b[2Jno space"]}`: {true, `\x1b[2Jno space`},
		`{"status":"disabled"}`:                             {true, ""},
		`status: done`:                                      {false, ""},
		`{"status":["done"]}`:                               {false, ""},
		"":                                                  {false, ""},
		`{"status":"error","errors":["` + strings.Repeat("é", 1000) + `"]}`: {true, strings.Repeat("é", 150)},
	} {
		if ended, problem := cloudInitEnd(text); ended != want.ended || problem != want.problem {
			t.Errorf("%.60s: %v %q, want %v %q", text, ended, problem, want.ended, want.problem)
		}
	}
}

func FuzzTheEndOfCloudInit(f *testing.F) {
	f.Add(`{"status":"error","errors":["x"],"detail":"y"}`)
	f.Add(`{"errors":[1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		_, problem := cloudInitEnd(text)
		if len(problem) > 4*300 || !utf8.ValidString(problem) || string(term.Clean(problem)) != problem {
			t.Errorf("%q", problem)
		}
	})
}
