package installer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// options are those of an installer with a program that is none, which nothing here runs.
func options() Options {
	return Options{
		Program: &Program{data: []byte("program"), arch: "amd64", version: "1.2.3~rc.1"},
		Server:  "https://deploy.example.net", Authority: []byte("authority\n"), Token: "secret", Deployment: "example",
		Site: "lyon",
	}
}

// TestDeb has the system's own tools read the package.
func TestDeb(t *testing.T) {
	tool, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	name := filepath.Join(t.TempDir(), "a.deb")
	var b bytes.Buffer
	if err := WriteDeb(&b, options()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		output, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, output)
		}
		return string(output)
	}
	for field, want := range map[string]string{
		"Package": "enjambre-agent", "Version": "1.2.3~rc.1", "Architecture": "amd64", "Installed-Size": "4",
	} {
		if got := strings.TrimSpace(run("--field", name, field)); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	if got := run("--info", name); strings.Contains(strings.ToLower(got), "warning") || !strings.Contains(got, "postinst") {
		t.Error(got)
	}
	for _, want := range []string{
		"-rwxr-xr-x root/root         7 ", "./usr/bin/enjambre-agent\n", "-rw------- root/root         7 ",
		"./usr/lib/enjambre-agent/token\n", "./usr/lib/enjambre-agent/cacert.pem\n",
	} {
		if got := run("--contents", name); !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	folder := t.TempDir()
	run("--extract", name, folder)
	settings, err := os.ReadFile(filepath.Join(folder, "usr/lib/enjambre-agent/agent.toml"))
	if err != nil || !strings.Contains(string(settings), "\ntoken_file = \"/usr/lib/enjambre-agent/token\"\n") {
		t.Errorf("%v\n%s", err, settings)
	}
}

// TestReproducible: equal options give equal bytes, and a token is all that another token changes.
func TestReproducible(t *testing.T) {
	for name, write := range map[string]func(io.Writer, Options) error{"deb": WriteDeb, "tar.gz": WriteTarGz} {
		made := func(token string) []byte {
			o := options()
			o.Token = token
			var b bytes.Buffer
			if err := write(&b, o); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		if !bytes.Equal(made("secret"), made("secret")) {
			t.Errorf("%s: two of the same differ", name)
		}
		if bytes.Equal(made("secret"), made("other!")) {
			t.Errorf("%s: the token is not in it", name)
		}
	}
}

// TestSettings: what stands in agent.toml, whatever people type. The agent reads it in e2e.
func TestSettings(t *testing.T) {
	o := options()
	o.Tag, o.Proxy, o.Debug = `a"b\é`, "http://u:p@proxy:3128", true
	var b bytes.Buffer
	if err := WriteTarGz(&b, o); err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(data)
	}
	const want = `
server = "https://deploy.example.net"
ca = "/usr/local/lib/enjambre-agent/cacert.pem"
token_file = "/usr/local/lib/enjambre-agent/token"
tag = "a\"b\\é"
proxy = "http://u:p@proxy:3128"
debug = true
`
	if got := files["enjambre-agent/agent.toml"]; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s", got)
	}
	if got := files["enjambre-agent/token"]; got != "secret\n" {
		t.Errorf("token: got %q", got)
	}
	if script := files["enjambre-agent/install.sh"]; !strings.HasPrefix(script, "#!/bin/sh\n") || !strings.Contains(script, "settle() {") {
		t.Errorf("got\n%s", script)
	}
}

func TestCheck(t *testing.T) {
	o := options()
	o.Server, o.Proxy, o.Tag = "http://a", "proxy:3128", "a\nb"
	err := o.Check()
	for _, want := range []string{"https://deploy.example.net", "proxy: use", "tag: use"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if err := WriteDeb(io.Discard, o); err == nil {
		t.Error("a package was made all the same")
	}
}

func TestVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "v1.2.3-rc.1": "1.2.3~rc.1", "v0.0.0-20261124080000-0123456789ab": "0.0.0~20261124080000~0123456789ab",
		"(devel)": "0~devel.1310ca2c8932", "": "0~devel.1310ca2c8932",
	} {
		if got := debianVersion(version, []byte("program")); got != want {
			t.Errorf("%q: got %q, want %q", version, got, want)
		}
	}
}

// TestOtherPrograms: only an agent for Linux goes into an installer. This test is a Go program, but no agent.
func TestOtherPrograms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, source, _, _ := runtime.Caller(0)
	for _, name := range []string{self, source, filepath.Join(t.TempDir(), "missing")} {
		if _, err := ReadProgram(name); err == nil || !strings.Contains(err.Error(), "--agent") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
