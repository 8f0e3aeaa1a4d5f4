// Package enjambre_test holds the tests of the tree itself: the arrows between folders, what core and
// peer may not do, and that every package says what it is for.
package enjambre_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "enjambre"

// listed is what this test reads of `go list -json`.
type listed struct {
	Dir, ImportPath, Doc string
	Imports, GoFiles     []string
}

// listPackages returns every package of the module, as built for this system.
func listPackages(t *testing.T) []listed {
	t.Helper()
	output, err := exec.Command("go", "list", "-json=Dir,ImportPath,Doc,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var one listed
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, one)
	}
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}

// top returns the top-level folder of a package of ours, or "" for a foreign one.
func top(importPath string) string {
	inside, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return ""
	}
	folder, _, _ := strings.Cut(inside, "/")
	return folder
}

// allowed says which of our top-level folders a folder may import, besides itself.
var allowed = map[string][]string{
	"core":   {},
	"peer":   {"core"},
	"server": {"core", "peer"},
	"agent":  {"core", "peer"},
	"simnet": {"core", "peer"},
	"bench":  {"core", "peer"},
	"e2e":    {"core", "peer"},
}

func TestArrows(t *testing.T) {
	for _, pkg := range listPackages(t) {
		from := top(pkg.ImportPath)
		if from == "" {
			continue // the root: this test
		}
		may, known := allowed[from]
		if !known {
			t.Errorf("%s: folder %q is not in the architecture", pkg.ImportPath, from)
		}
		for _, imported := range pkg.Imports {
			to := top(imported)
			if to != "" && to != from && !slices.Contains(may, to) {
				t.Errorf("%s imports %s: %s may import only %v", pkg.ImportPath, imported, from, may)
			}
		}
	}
}

// isPure reports whether the rules for decisions bind a package: no network, disk, clock, goroutine
// or log. peer/link is where peer meets the network.
func isPure(importPath string) bool {
	folder := top(importPath)
	return (folder == "core" || folder == "peer") && !strings.HasPrefix(importPath, module+"/peer/link")
}

func TestPureImports(t *testing.T) {
	for _, pkg := range listPackages(t) {
		if !isPure(pkg.ImportPath) {
			continue
		}
		for _, imported := range pkg.Imports {
			switch {
			case imported == "net/netip", imported == "net/url":
				// values, not sockets
			case imported == "net", strings.HasPrefix(imported, "net/"),
				imported == "os", strings.HasPrefix(imported, "os/"), imported == "syscall",
				imported == "log", strings.HasPrefix(imported, "log/"), imported == "sync",
				imported == "crypto/rand":
				t.Errorf("%s imports %s: effects live at the edges", pkg.ImportPath, imported)
			}
		}
	}
}

// clockCalls are the functions of package time that read or wait for the clock.
var clockCalls = []string{
	"Now",
	"Since",
	"Until",
	"After",
	"AfterFunc",
	"Sleep",
	"Tick",
	"NewTicker",
	"NewTimer",
}

func TestPureCode(t *testing.T) {
	for _, pkg := range listPackages(t) {
		if !isPure(pkg.ImportPath) {
			continue
		}
		for _, name := range pkg.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(pkg.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine", files.Position(node.Pos()))
				case *ast.SelectorExpr:
					base, isName := node.X.(*ast.Ident)
					if isName && base.Name == "time" && slices.Contains(clockCalls, node.Sel.Name) {
						t.Errorf("%s uses time.%s: time comes in as a parameter", files.Position(node.Pos()), node.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, pkg := range listPackages(t) {
		name := pkg.ImportPath[strings.LastIndex(pkg.ImportPath, "/")+1:]
		if pkg.ImportPath == module {
			continue // no package here, only this test
		}
		if !strings.HasPrefix(pkg.Doc, "Package "+name+" ") && !strings.HasPrefix(pkg.Doc, "Command ") {
			t.Errorf("%s: no package comment that begins with %q or \"Command \"", pkg.ImportPath, "Package "+name)
		}
	}
}

// TestTreeOnPage: docs/ARCHITECTURE.md has a line for every package, and none for what is not there.
func TestTreeOnPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	above := ""
	for _, found := range regexp.MustCompile(`(?m)^    (  )?([a-z0-9][a-z0-9/]*)/ +\S`).FindAllStringSubmatch(string(page), -1) {
		path := found[2]
		if found[1] == "" {
			above = path
		} else {
			path = above + "/" + path
		}
		described = append(described, path)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("docs/ARCHITECTURE.md: %v", err)
		}
	}
	for _, pkg := range listPackages(t) {
		path := strings.TrimPrefix(pkg.ImportPath, module+"/")
		if path != module && !slices.Contains(described, path) {
			t.Errorf("docs/ARCHITECTURE.md does not say what %s is for", path)
		}
	}
}

// TestSharedGolden: what the agent's tests say an inventory looks like is what the server's tests read. The two
// may not import each other, so each has a copy.
func TestSharedGolden(t *testing.T) {
	sent, err := os.ReadFile("agent/internal/inventory/testdata/inventory.xml")
	if err != nil {
		t.Fatal(err)
	}
	read, err := os.ReadFile("server/internal/ocsapi/testdata/agent-inventory.xml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent, read) {
		t.Error("the inventory of the agent's tests and that of the server's differ; run make golden")
	}
}

// TestRuntimeFloor holds the Go release to the floor below which known holes in encoding/xml,
// archive/tar and os.Root reach this code: GO-2026-6088, fixed in 1.26.6, is the newest of them.
func TestRuntimeFloor(t *testing.T) {
	version, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), "-")
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		t.Skipf("development release %s", runtime.Version())
	}
	var numbers [3]int
	for i, part := range parts {
		number, err := strconv.Atoi(part)
		if err != nil {
			t.Skipf("pre-release %s", runtime.Version())
		}
		numbers[i] = number
	}
	if floor := [3]int{1, 26, 6}; slices.Compare(numbers[:], floor[:]) < 0 {
		t.Errorf("Go %s is older than the floor %v; install a newer release", runtime.Version(), floor)
	}
}

// TestLeanSwarm: members' connections are assembled from parts of libp2p. Its root package links every transport and
// discovery there is, and does not build with the newest QUIC.
func TestLeanSwarm(t *testing.T) {
	output, err := exec.Command("go", "list", "-deps", "./peer/link").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(output)) {
		path = strings.TrimSpace(path)
		for _, banned := range []string{"webtransport", "pion/", "websocket", "p2p/protocol/", "p2p/discovery"} {
			if strings.Contains(path, banned) || path == "github.com/libp2p/go-libp2p" {
				t.Errorf("peer/link links %s", path)
			}
		}
	}
}
