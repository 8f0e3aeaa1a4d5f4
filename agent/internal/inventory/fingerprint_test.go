package inventory

import (
	"testing"

	"enjambre/core"
)

func TestIsOther(t *testing.T) {
	one := func(text string) core.Digest { return part("test", text) }
	base := Machine{System: one("a"), Product: one("b"), Adapters: one("c")}
	for _, c := range []struct {
		name    string
		was, is Machine
		want    bool
	}{
		{"the same", base, base, false},
		{"a new network card", base, Machine{base.System, base.Product, one("x")}, false},
		{"an image that was sealed", base, Machine{one("x"), base.Product, base.Adapters}, false},
		{"firmware that forgot", base, Machine{base.System, core.Digest{}, base.Adapters}, false},
		{"a cloned virtual machine", base, Machine{base.System, one("x"), one("y")}, true},
		{"a copied disk, its ID made anew", base, Machine{one("x"), one("y"), one("z")}, true},
		{"a new system and a new card", base, Machine{one("x"), base.Product, one("z")}, true},
		{"without SMBIOS, one part", Machine{base.System, core.Digest{}, base.Adapters},
			Machine{base.System, core.Digest{}, one("x")}, false},
		{"without SMBIOS, both parts", Machine{base.System, core.Digest{}, base.Adapters},
			Machine{one("x"), core.Digest{}, one("y")}, true},
		{"known on one side only", Machine{base.System, core.Digest{}, base.Adapters}, Machine{one("x"), one("y"),
			core.Digest{}}, false},
		{"nothing known", Machine{}, base, false},
	} {
		if got := c.was.IsOther(c.is); got != c.want {
			t.Errorf("%s: got %t", c.name, got)
		}
		if got := c.is.IsOther(c.was); got != c.want {
			t.Errorf("%s, the other way: got %t", c.name, got)
		}
	}
}
