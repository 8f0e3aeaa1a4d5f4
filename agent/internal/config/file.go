package config

import (
	"errors"
	"fmt"
	"strconv"
)

// A file is what an agent.toml says, before it is known whether each value is of its setting's kind: a mistake in one
// shall not hide those in the others, and a port or a size may be written as a number or as a text.
type file struct {
	State        any `toml:"state"`
	Server       any `toml:"server"`
	CA           any `toml:"ca"`
	TokenFile    any `toml:"token_file"`
	Tag          any `toml:"tag"`
	Proxy        any `toml:"proxy"`
	Debug        any `toml:"debug"`
	LogFile      any `toml:"log_file"`
	LogMaxMB     any `toml:"log_max_mb"`
	LogKeep      any `toml:"log_keep"`
	VaultMax     any `toml:"vault_max"`
	VaultReserve any `toml:"vault_reserve"`
	Listen       any `toml:"listen"`
	MDNS         any `toml:"mdns"`
	Tunnels      any `toml:"tunnels"`
}

// config returns the settings that the file makes of the defaults, and every mistake, one a line.
func (f file) config() (Config, error) {
	c := Default()
	var mistakes []error
	for _, one := range []struct {
		key   string
		value any // nil: not in the file
		take  func(text string) error
	}{
		{"state", f.State, text(&c.State)}, {"server", f.Server, text(&c.Server)}, {"ca", f.CA, text(&c.CA)},
		{"token_file", f.TokenFile, text(&c.TokenFile)}, {"tag", f.Tag, text(&c.Tag)}, {"proxy", f.Proxy, text(&c.Proxy)},
		{"debug", f.Debug, yesOrNo(&c.Debug)}, {"log_file", f.LogFile, text(&c.LogFile)},
		{"log_max_mb", f.LogMaxMB, number(&c.LogMaxMB)}, {"log_keep", f.LogKeep, number(&c.LogKeep)},
		{"vault_max", f.VaultMax, text(&c.VaultMax)}, {"vault_reserve", f.VaultReserve, text(&c.VaultReserve)},
		{"listen", f.Listen, text(&c.Listen)}, {"mdns", f.MDNS, yesOrNo(&c.MDNS)},
		{"tunnels", f.Tunnels, yesOrNo(&c.Tunnels)},
	} {
		if one.value == nil {
			continue
		}
		written, err := scalar(one.value)
		if err == nil {
			err = one.take(written)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", one.key, err))
		}
	}
	return c, errors.Join(mistakes...)
}

// scalar returns how a text, a whole number or a truth value is written.
func scalar(value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case bool:
		return strconv.FormatBool(value), nil
	}
	return "", errors.New(`write one text in quotes, one whole number, or true or false`)
}

func text(to *string) func(string) error {
	return func(written string) error {
		*to = written
		return nil
	}
}

func yesOrNo(to *bool) func(string) error {
	return func(written string) error {
		if written != "true" && written != "false" {
			return fmt.Errorf("%.40q is neither true nor false", written)
		}
		*to = written == "true"
		return nil
	}
}

func number(to *int) func(string) error {
	return func(written string) error {
		read, err := strconv.Atoi(written)
		if err != nil {
			return fmt.Errorf("%.40q is no whole number", written)
		}
		*to = read
		return nil
	}
}
