package cases

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/e2e/lab"
	"enjambre/e2e/stage"
)

var asked = flag.Bool("lab", false, "run the cases, and write the table of docs/swarm-measured.md")

// The programs under test; set once before any test.
var serverProgram, agentProgram, bareProgram string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run builds the programs, if a case will need them, and runs the tests.
func run(m *testing.M) int {
	if !*asked {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "enjambre-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if serverProgram, err = stage.Build(ctx, folder); err == nil {
		agentProgram, err = stage.BuildAgent(ctx, folder)
	}
	if err == nil {
		bareProgram, err = buildBare(ctx, folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// buildBare compiles the program that costs are measured against.
func buildBare(ctx context.Context, folder string) (string, error) {
	binary := filepath.Join(folder, "bare")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "enjambre/e2e/lab/bare").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build bare: %w\n%s", err, output)
	}
	return binary, nil
}

// skipUnlessAsked skips a case that nobody asked for, or that cannot run here.
func skipUnlessAsked(t *testing.T) {
	t.Helper()
	if !*asked {
		t.Skip("a case of the laboratory: run it with -lab, or make lab")
	}
	if err := lab.Check(); err != nil {
		t.Skip(err)
	}
}

// report writes a row into the table, and fails the test if the goal is not met.
func report(t *testing.T, row Row) {
	t.Helper()
	revision, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		revision = []byte("unknown")
	}
	row.When = time.Now().UTC().Format("2006-01-02") + " " + strings.TrimSpace(string(revision))
	path := filepath.Join("..", "..", "..", "docs", "swarm-measured.md")
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := Update(string(document), row)
	if err == nil {
		err = os.WriteFile(path, []byte(changed), 0o600)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Log(strings.TrimSpace(row.String()))
	if !row.Met {
		t.Errorf("%s: got %s, want %s", row.Case, row.Measured, row.Goal)
	}
}
