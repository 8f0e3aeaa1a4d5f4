// Package config is the agent's settings file, agent.toml.
//
// It reads strictly: a key that does not exist is an error that names its line, and [Config.Validate] reports
// every mistake at once, so that a typing mistake never becomes a setting that silently does nothing. The
// annotated [Example] is the manual of the file and holds the defaults; a test keeps the two equal.
//
// The file decides what runs as root, so one that others may write to is refused. It holds no secret itself:
// the token lies in a file of its own. Bound: 64 KiB.
package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"enjambre/agent/internal/origin"
	"enjambre/core"
)

// Example is the annotated file with every setting at its default.
//
//go:embed agent.toml
var Example string

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// LogAuto as LogFile means agent.log in the state folder for the service, else the standard error output.
const LogAuto = "auto"

// A Config is the agent's settings, as the file spells them.
type Config struct {
	State        string `toml:"state"`         // folder; "" = StateFolder()
	Server       string `toml:"server"`        // address, to enrol with
	CA           string `toml:"ca"`            // file of the server's authority, to enrol with
	TokenFile    string `toml:"token_file"`    // file of the token; removed after the enrolment
	Tag          string `toml:"tag"`           // of this computer
	Proxy        string `toml:"proxy"`         // as origin.ParseProxy reads it
	Debug        bool   `toml:"debug"`         // log every decision
	LogFile      string `toml:"log_file"`      // LogAuto, a file, or "" for the standard error output
	LogMaxMB     int    `toml:"log_max_mb"`    // megabytes after which the log is begun anew, 1 to 1024
	LogKeep      int    `toml:"log_keep"`      // old logs that are kept, 1 to 100
	VaultMax     string `toml:"vault_max"`     // most that packages take on the disk, as ParseSize reads it
	VaultReserve string `toml:"vault_reserve"` // what they leave free there, likewise
	Listen       string `toml:"listen"`        // where members of the site reach the agent, as ParseListen reads it
	MDNS         bool   `toml:"mdns"`          // find members of the site by mDNS too
	Tunnels      bool   `toml:"tunnels"`       // be a member of the site also by a tunnel or a metered line
}

// Default returns what holds without a file.
func Default() Config {
	return Config{
		Proxy: "none", LogFile: LogAuto, LogMaxMB: 10, LogKeep: 5, VaultMax: "20GiB", VaultReserve: "1GiB",
		Listen: "4901",
	}
}

// Load reads a file and checks it.
func Load(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("settings: %w", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err == nil {
		err = checkWriters(path, stat)
	}
	if err != nil {
		return Config{}, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is longer than %d bytes", maxFile)
	}
	if err != nil {
		return Config{}, fmt.Errorf("settings %s: %w", path, err)
	}
	return Parse(path, string(data))
}

// Parse reads a file's text; path only names it in errors, which are all that there are, one a line.
func Parse(path, text string) (Config, error) {
	text, err := core.Text([]byte(text))
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	var written file
	decoder := toml.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&written)
	var unknown *toml.StrictMissingError
	if err != nil && !errors.As(err, &unknown) { // no TOML: nobody knows what the rest means
		return Config{}, located(path, err)
	}
	var mistakes []error
	if unknown != nil {
		mistakes = append(mistakes, located(path, unknown))
	}
	read, err := written.config()
	for _, all := range []error{err, read.Validate()} {
		if all == nil {
			continue
		}
		for line := range strings.SplitSeq(all.Error(), "\n") {
			mistakes = append(mistakes, fmt.Errorf("%s: %s", path, line))
		}
	}
	if len(mistakes) > 0 {
		return Config{}, errors.Join(mistakes...)
	}
	return read, nil
}

// located says in which line of the file a mistake is.
func located(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var lines []error
		for _, one := range unknown.Errors {
			row, _ := one.Position()
			lines = append(lines, fmt.Errorf("%s: line %d: there is no setting %q; \"enjambre-agent config example\" "+
				"shows them all", path, row, strings.Join(one.Key(), ".")))
		}
		return errors.Join(lines...)
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		row, _ := wrong.Position()
		return fmt.Errorf("%s: line %d: %s", path, row, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Validate checks all settings and reports every mistake, one a line.
func (c Config) Validate() error {
	var mistakes []error
	wrong := func(key, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(key+": "+format, args...))
	}
	for _, path := range []struct{ key, value string }{
		{"state", c.State}, {"ca", c.CA}, {"token_file", c.TokenFile}, {"log_file", c.LogFile},
	} {
		if path.value != "" && !filepath.IsAbs(path.value) && (path.key != "log_file" || path.value != LogAuto) {
			wrong(path.key, "%.200q is no absolute path; a service starts in a folder of its own", path.value)
		}
	}
	if some := c.Server != "" || c.CA != "" || c.TokenFile != ""; some && !c.Enrols() {
		wrong("server, ca, token_file", "give all three, to enrol by itself, or none")
	}
	if c.Server != "" {
		if _, err := origin.ParseServer(c.Server); err != nil {
			wrong("server", "%w", err)
		}
	}
	if strings.ContainsFunc(c.Tag, func(r rune) bool { return r < ' ' }) || len(c.Tag) > 255 {
		wrong("tag", "use at most 255 bytes without control characters")
	}
	if _, err := origin.ParseProxy(c.Proxy); err != nil {
		wrong("proxy", "%w", err)
	}
	if c.LogMaxMB < 1 || c.LogMaxMB > 1024 {
		wrong("log_max_mb", "%d is not within 1 to 1024", c.LogMaxMB)
	}
	if c.LogKeep < 1 || c.LogKeep > 100 {
		wrong("log_keep", "%d is not within 1 to 100", c.LogKeep)
	}
	if _, err := ParseSize(c.VaultMax); err != nil {
		wrong("vault_max", "%w", err)
	}
	if _, err := ParseSize(c.VaultReserve); err != nil {
		wrong("vault_reserve", "%w", err)
	}
	if _, _, err := ParseListen(c.Listen); err != nil {
		wrong("listen", "%w", err)
	}
	return errors.Join(mistakes...)
}

// Enrols reports whether the settings let an agent enrol by itself.
func (c Config) Enrols() bool { return c.Server != "" && c.CA != "" && c.TokenFile != "" }

// Folder returns the state folder.
func (c Config) Folder() (string, error) {
	if c.State != "" {
		return c.State, nil
	}
	return StateFolder()
}

// minVault is the smallest size of a vault or its reserve, in bytes: less is a number whose unit was forgotten.
const minVault = 1 << 20

// ParseSize reads a size of the vault as [core.ParseSize] does, and returns it in bytes.
func ParseSize(text string) (int64, error) {
	size, err := core.ParseSize(text)
	if err == nil && size < minVault {
		err = core.Refuse(core.ClassLimit, "%.40q is %d bytes; use 1MiB or more, such as 20GiB", text, size)
	}
	if err != nil {
		return 0, err
	}
	return size, nil
}

// ListenOff as Listen means that the agent takes no part in its site's swarm.
const ListenOff = "off"

// ParseListen reads a UDP port, in digits; 0 is any that is free, and ListenOff none.
func ParseListen(text string) (port uint16, off bool, err error) {
	if text == ListenOff {
		return 0, true, nil
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strconv.FormatUint(number, 10) != text {
		return 0, false, fmt.Errorf("%.40q is no UDP port; use 1 to 65535, 0 for any that is free, or %q", text, ListenOff)
	}
	return uint16(number), false, nil
}
