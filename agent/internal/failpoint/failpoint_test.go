package failpoint

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hitsInSource returns the names that the agent's source hits, with where.
func hitsInSource(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "testdata" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, isCall := node.(*ast.CallExpr)
			if !isCall {
				return true
			}
			selector, isSelector := call.Fun.(*ast.SelectorExpr)
			if !isSelector || selector.Sel.Name != "Hit" {
				return true
			}
			if base, isName := selector.X.(*ast.Ident); !isName || base.Name != "failpoint" {
				return true
			}
			where := files.Position(call.Pos()).String()
			literal, isLiteral := call.Args[0].(*ast.BasicLit)
			if !isLiteral {
				t.Errorf("%s: the name is not a plain string", where)
				return true
			}
			name, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Errorf("%s: %v", where, err)
			}
			found[name] = where
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPointsAreThoseOfTheSource(t *testing.T) {
	found := hitsInSource(t)
	for _, point := range Points() {
		if _, hit := found[point.Name]; !hit {
			t.Errorf("%s is listed and nowhere hit", point.Name)
		}
		if point.Doc == "" {
			t.Errorf("%s has no doc", point.Name)
		}
		delete(found, point.Name)
	}
	for name, where := range found {
		t.Errorf("%s: %s is not listed", where, name)
	}
}

// TestHit builds a program with and without the tag and runs it to its end, or not.
func TestHit(t *testing.T) {
	for _, test := range []struct {
		tags, chosen, output string
		killed               bool
	}{
		{"", "a", "a b a end", false},
		{"failpoint", "", "a b a end", false},
		{"failpoint", "c", "a b a end", false},
		{"failpoint", "b", "a ", true},
		{"failpoint", "a:2", "a b ", true},
		{"failpoint", "a:3", "a b a end", false},
	} {
		program := filepath.Join(t.TempDir(), "program")
		build := exec.CommandContext(t.Context(), "go", "build", "-tags", test.tags, "-o", program,
			"./testdata/program")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), Variable+"="+test.chosen)
		output, err := cmd.Output()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && !exit.Success()
		if string(output) != test.output || killed != test.killed {
			t.Errorf("tags %q, chosen %q: got %q, %v; want %q, killed %v", test.tags, test.chosen, output, err,
				test.output, test.killed)
		}
	}
}
