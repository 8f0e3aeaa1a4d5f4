// Package installer makes what puts an agent on a computer in one step: a Debian package, or an archive with a
// script for other systems.
//
// An installer carries the agent's program, the server's authority, a token and settings that name them. It writes
// no unit: the program that it installs prints its own, so that program and unit cannot disagree and the server need
// not run a program of another architecture. See docs/decisions/0012.
//
//	/usr/bin/enjambre-agent            Debian package; /usr/local/... with install.sh
//	/usr/lib/enjambre-agent/agent.toml, cacert.pem, token
//	/etc/enjambre/agent.toml           made by the scripts; settings that were changed on the computer are kept
//
// Equal options give equal bytes. An installer is as secret as its token. Bound: a program of 256 MiB.
package installer

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"enjambre/core"
)

// maxProgram bounds the agent's program, in bytes.
const maxProgram = 256 << 20

// agentPath is the import path of the agent's program, by which it is known.
const agentPath = "enjambre/agent"

//go:embed script
var scripts embed.FS

// architectures are Debian's names of Go's.
var architectures = map[string]string{
	"amd64": "amd64", "arm64": "arm64", "386": "i386", "arm": "armhf", "riscv64": "riscv64", "ppc64le": "ppc64el",
	"s390x": "s390x", "loong64": "loong64",
}

// A Program is an agent's program for Linux.
type Program struct {
	data    []byte
	arch    string // as Debian names it
	version string // as Debian orders it
}

// Arch returns the architecture that the program is for, as Debian names it.
func (p *Program) Arch() string { return p.arch }

// Version returns the program's version, as Debian orders it.
func (p *Program) Version() string { return p.version }

// ReadProgram reads an agent's program and refuses anything else. It is not run.
func ReadProgram(path string) (*Program, error) {
	const advice = "give the agent's program for the computers, with --agent"
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("agent's program: %w; %s", err, advice)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxProgram+1))
	if err != nil {
		return nil, fmt.Errorf("agent's program %s: %w", path, err)
	}
	if len(data) > maxProgram {
		return nil, core.Refuse(core.ClassLimit, "agent's program %s: it is longer than %d bytes", path, maxProgram)
	}
	build, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil || build.Path != agentPath {
		return nil, core.Refuse(core.ClassType, "agent's program %s: this is no enjambre-agent; %s", path, advice)
	}
	settings := map[string]string{}
	for _, one := range build.Settings {
		settings[one.Key] = one.Value
	}
	arch := architectures[settings["GOARCH"]]
	if settings["GOOS"] != "linux" || arch == "" {
		return nil, core.Refuse(core.ClassType, "agent's program %s: it is for %s/%s, want Linux; %s", path,
			settings["GOOS"], settings["GOARCH"], advice)
	}
	return &Program{data: data, arch: arch, version: debianVersion(build.Main.Version, data)}, nil
}

// debianVersion writes a Go version so that Debian orders it alike: a pre-release comes before its release. A program
// built from no known version is told from others by its digest.
func debianVersion(version string, program []byte) string {
	number, released := strings.CutPrefix(version, "v")
	if !released {
		return fmt.Sprintf("0~devel.%x", sha256.Sum256(program))[:len("0~devel.")+12]
	}
	return strings.ReplaceAll(number, "-", "~")
}

// Options say what an installer carries. All but Tag, Proxy and Debug are required.
type Options struct {
	Program    *Program
	Server     string // https://host[:port]
	Authority  []byte // PEM, what the server is verified with
	Token      string
	Deployment string
	Site       core.SiteName
	Tag        string
	Proxy      string // "" or none, system, or the address of a proxy
	Debug      bool
}

// Check reports every mistake at once.
func (o Options) Check() error {
	var mistakes []error
	server, err := url.Parse(o.Server)
	if err != nil || server.Scheme != "https" || server.Hostname() == "" || server.User != nil ||
		server.RawQuery != "" || server.Fragment != "" || server.Path != "" && server.Path != "/" && server.Path != "/ocsinventory" {
		mistakes = append(mistakes, core.Refuse(core.ClassField,
			"server %.200q: give an address such as https://deploy.example.net", o.Server))
	}
	proxy, err := url.Parse(o.Proxy)
	known := err == nil && proxy.Hostname() != "" && (proxy.Path == "" || proxy.Path == "/") &&
		(proxy.Scheme == "http" || proxy.Scheme == "https" || proxy.Scheme == "socks5")
	if o.Proxy != "" && o.Proxy != "none" && o.Proxy != "system" && !known {
		mistakes = append(mistakes, core.Refuse(core.ClassField,
			"proxy: use none, system, or an address such as http://proxy.example.net:3128"))
	}
	if len(o.Tag) > 255 || strings.ContainsFunc(o.Tag, func(r rune) bool { return r < ' ' }) {
		mistakes = append(mistakes, core.Refuse(core.ClassField, "tag: use at most 255 bytes without control characters"))
	}
	return errors.Join(mistakes...)
}

// settings returns agent.toml: what differs from the defaults.
func (o Options) settings(lib string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Settings of enjambre-agent, as the installer of site %s wrote them.\n", o.Site)
	fmt.Fprint(&b, "# \"enjambre-agent config example\" explains these and all others.\n\n")
	set := func(key string, value any) {
		text, err := json.Marshal(value) // JSON's spelling of a text or a truth is TOML's too
		if err != nil {
			panic(err) // a string or a bool: our mistake
		}
		fmt.Fprintf(&b, "%s = %s\n", key, text)
	}
	set("server", o.Server)
	set("ca", lib+"/cacert.pem")
	set("token_file", lib+"/token")
	if o.Tag != "" {
		set("tag", o.Tag)
	}
	if o.Proxy != "" && o.Proxy != "none" {
		set("proxy", o.Proxy)
	}
	if o.Debug {
		set("debug", true)
	}
	return b.Bytes()
}

// script returns a shell script with the shared part before it.
func script(name, program, lib, root string) []byte {
	read := func(name string) []byte {
		data, err := scripts.ReadFile("script/" + name + ".sh")
		if err != nil {
			panic(err) // it is embedded: our mistake
		}
		return data
	}
	head := fmt.Sprintf("#!/bin/sh\nset -e\nroot=%s\nprogram=%s\nlib=%s\n\n", root, program, lib)
	return append(append([]byte(head), read("settle")...), append([]byte("\n"), read(name)...)...)
}
