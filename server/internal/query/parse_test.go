package query

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"enjambre/core"
)

func compare(field Field, op Op, values ...Value) Compare { return Compare{field, op, values} }

func network(prefix string) Network { return Network{netip.MustParsePrefix(prefix)} }

// accepted are queries with the expression and the canonical text they mean.
var accepted = []struct {
	text, canonical string
	want            Expr
}{
	{`name = pc-042`, `name = pc-042`, compare(FieldName, "=", Text("pc-042"))},
	{"\tNAME=\"front  desk\"\n", `name = "front  desk"`, compare(FieldName, "=", Text("front  desk"))},
	{`user = CORP\ana`, `user = CORP\ana`, compare(FieldUser, "=", Text(`CORP\ana`))},
	{`user = 'O''Brien "x"'`, `user = "O'Brien ""x"""`, compare(FieldUser, "=", Text(`O'Brien "x"`))},
	{`site = ''`, `site = ""`, compare(FieldSite, "=", Text(""))},
	{`tag != "in"`, `tag != "in"`, compare(FieldTag, "!=", Text("in"))},
	{`tag = never`, `tag = never`, compare(FieldTag, "=", Text("never"))},
	{`site in lyon`, `site in lyon`, compare(FieldSite, "in", Text("lyon"))},
	{`site IN (lyon,"")`, `site in (lyon, "")`, compare(FieldSite, "in", Text("lyon"), Text(""))},
	{`site not in (a, b)`, `not site in (a, b)`, Not{compare(FieldSite, "in", Text("a"), Text("b"))}},
	{`serial~"5cg"`, `serial ~ 5cg`, compare(FieldSerial, "~", Text("5cg"))},
	{`agent ~ 2.1`, `agent ~ 2.1`, compare(FieldAgent, "~", Text("2.1"))},
	{`os = Windows`, `os = windows`, compare(FieldOS, "=", Family(core.Windows))},
	{`os != "LINUX"`, `os != linux`, compare(FieldOS, "!=", Family(core.Linux))},
	{`os ~ windows`, `os ~ windows`, compare(FieldOS, "~", Text("windows"))},
	{
		`os in (linux, "Windows 11")`, `os in (linux, "Windows 11")`,
		compare(FieldOS, "in", Family(core.Linux), Text("Windows 11")),
	},
	{`memory >= 8gib`, `memory >= 8GiB`, compare(FieldMemory, ">=", Bytes(8<<30))},
	{`memory >= 8GB`, `memory >= 8GB`, compare(FieldMemory, ">=", Bytes(8e9))},
	{`disk < 1.5GiB`, `disk < 1536MiB`, compare(FieldDisk, "<", Bytes(1536<<20))},
	{`disk <= 0.1KiB`, `disk <= 102B`, compare(FieldDisk, "<=", Bytes(102))},
	{`disk = 0MB`, `disk = 0B`, compare(FieldDisk, "=", Bytes(0))},
	{`disk != 1048576TiB`, `disk != 1048576TiB`, compare(FieldDisk, "!=", Bytes(1<<60))},
	{`last_contact > 30d`, `last_contact > 30d`, compare(FieldLastContact, ">", Age(720*time.Hour))},
	{`last_contact <= 2W`, `last_contact <= 14d`, compare(FieldLastContact, "<=", Age(336*time.Hour))},
	{`inventory < 36h`, `inventory < 36h`, compare(FieldInventory, "<", Age(36*time.Hour))},
	{`inventory >= 90m`, `inventory >= 90m`, compare(FieldInventory, ">=", Age(90*time.Minute))},
	{`inventory > 0h`, `inventory > 0d`, compare(FieldInventory, ">", Age(0))},
	{
		`last_contact < 2026-11-01`, `last_contact < 2026-11-01`,
		compare(FieldLastContact, "<", Date{2026, time.November, 1}),
	},
	{
		`last_contact in (NEVER, 2026-11-01)`, `last_contact in (never, 2026-11-01)`,
		compare(FieldLastContact, "in", Never{}, Date{2026, time.November, 1}),
	},
	{`ip in 10.1.2.3/16`, `ip in 10.1.0.0/16`, compare(FieldIP, "in", network("10.1.0.0/16"))},
	{`ip = 10.1.2.3/32`, `ip = 10.1.2.3`, compare(FieldIP, "=", network("10.1.2.3/32"))},
	{`ip != ::FFFF:10.1.2.3`, `ip != 10.1.2.3`, compare(FieldIP, "!=", network("10.1.2.3/32"))},
	{`ip in ::ffff:10.1.0.0/112`, `ip in 10.1.0.0/16`, compare(FieldIP, "in", network("10.1.0.0/16"))},
	{
		`ip in (2001:DB8::/32, 10.0.0.1)`, `ip in (2001:db8::/32, 10.0.0.1)`,
		compare(FieldIP, "in", network("2001:db8::/32"), network("10.0.0.1/32")),
	},
	{`mac = 00-1A-2B-3C-4D-5E`, `mac = 00:1a:2b:3c:4d:5e`, compare(FieldMAC, "=", MAC("00:1a:2b:3c:4d:5e"))},
	{`mac = 001a.2b3c.4d5e`, `mac = 00:1a:2b:3c:4d:5e`, compare(FieldMAC, "=", MAC("00:1a:2b:3c:4d:5e"))},
	{`mac ~ 001A2B`, `mac ~ 00:1a:2b`, compare(FieldMAC, "~", MAC("00:1a:2b"))},
	{`software(firefox)`, `software("firefox")`, Software{Name: "firefox"}},
	{`Software ("firefox",<140)`, `software("firefox", < 140)`, Software{"firefox", "<", "140"}},
	{`software(bash, = "2.3~rc1")`, `software("bash", = "2.3~rc1")`, Software{"bash", "=", "2.3~rc1"}},
	{
		`state(1760000000) = err_execute`, `state("1760000000") = ERR_EXECUTE`,
		State{1760000000, "=", []string{"ERR_EXECUTE"}},
	},
	{
		`state("1") not in (SUCCESS, none)`, `not state("1") in (SUCCESS, NONE)`,
		Not{State{1, "in", []string{"SUCCESS", "NONE"}}},
	},
	{
		`tag=a AND (tag=b and tag=c) Or (tag=d or tag=e)`, `tag = a and tag = b and tag = c or tag = d or tag = e`,
		Or{[]Expr{
			And{[]Expr{tagIs("a"), tagIs("b"), tagIs("c")}}, tagIs("d"), tagIs("e"),
		}},
	},
	{
		`(tag=a or tag=b) and not (tag=c and tag=d)`, `(tag = a or tag = b) and not (tag = c and tag = d)`,
		And{[]Expr{
			Or{[]Expr{tagIs("a"), tagIs("b")}}, Not{And{[]Expr{tagIs("c"), tagIs("d")}}},
		}},
	},
	{`not ((not tag=a))`, `not not tag = a`, Not{Not{tagIs("a")}}},
	{
		`not tag=a and tag=b`, `not tag = a and tag = b`,
		And{[]Expr{Not{tagIs("a")}, tagIs("b")}},
	},
}

func tagIs(tag string) Expr { return compare(FieldTag, "=", Text(tag)) }

func TestParseAccepts(t *testing.T) {
	for _, test := range accepted {
		t.Run(test.text, func(t *testing.T) {
			got, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
			if got.String() != test.canonical {
				t.Errorf("got %s, want %s", got, test.canonical)
			}
			checkRoundTrip(t, got)
		})
	}
}

// refused are queries with the column of the error and a part of its first line.
var refused = []struct {
	text   string
	column int
	part   string
}{
	{``, 1, `the query is empty; write a condition, such as`},
	{" \n ", 1, `--all`},
	{`nmae = pc-1`, 1, `unknown field "nmae"; did you mean "name"? fields: name, os,`},
	{`lastcontact > 30d`, 1, `did you mean "last_contact"?`},
	{`(os = linux) and sotfware(x)`, 18, `did you mean "software"?`},
	{`pc-042`, 1, `name ~ "pc-042"`},
	{`"pc 042"`, 1, `name ~ "pc 042"`},
	{`zzz = 1`, 1, `unknown field "zzz"; fields: name`},
	{`name`, 5, `ends too early, expected an operator: =, !=, ~, in`},
	{`name is x`, 6, `write = or ~`},
	{`name =`, 7, `expected a text`},
	{`name = > 5`, 8, `begins with an operator stands in quotes`},
	{`name ~~ x`, 6, `unknown operator "~~"; operators: =, !=`},
	{`name = and`, 8, `for the word itself write "and"`},
	{`name < 5`, 6, `< does not work with name, since it compares texts; use one of =, !=, ~, in`},
	{`ip ~ 10.1`, 4, `use a network`},
	{`ip < 10.1.2.3`, 4, `does not work with ip`},
	{`memory ~ 8GiB`, 8, `use one of =, !=, <, <=, >, >=, in`},
	{`last_contact ~ 30d`, 14, `does not work with last_contact`},
	{`mac > 00:1a:2b:3c:4d:5e`, 5, `does not work with mac`},
	{`name ~ ""`, 8, `~ needs some text`},
	{`os == linux`, 4, `unknown operator "=="; write =`},
	{`site !~ lyon`, 6, `not name ~ test`},
	{`memory => 8GiB`, 8, `write >=`},
	{`os = (linux, windows)`, 6, `lists need in`},
	{`site in ()`, 10, `expected a text`},
	{`site in (a b)`, 12, `stands in quotes`},
	{`site in (a,`, 12, `ends too early`},
	{`site in a, b`, 10, `a list stands in parentheses`},
	{`site not = x`, 6, `unexpected "not"`},
	{`name = pc 1`, 11, `stands in quotes`},
	{`name = x && name = y`, 10, `write and, or`},
	{`(name = x`, 10, `or ) for the ( at column 1`},
	{`name = x)`, 9, `there is no ( for this )`},
	{`name = x or`, 12, `expected a condition`},
	{`not`, 4, `expected a condition`},
	{`user = O'Brien`, 9, `is never closed; put the whole value in quotes`},
	{`name = “x”`, 8, `typographic quote`},
	{"name = \"a\nb\"", 10, `U+000A is not allowed`},
	{"name = a\u202eb", 9, `U+202E is not allowed`},
	{"name = a\xffb", 9, `not valid UTF-8`},
	{`memory > 8`, 10, `"8" is not a size; write the unit without a blank, such as 8GiB`},
	{`memory > 8 GiB`, 10, `without a blank`},
	{`memory > 8G`, 10, `units: KiB, MiB`},
	{`memory > -1GiB`, 10, `not a size`},
	{`memory > 1.2.3GiB`, 10, `not a size`},
	{`memory > 1048577TiB`, 10, `too much`},
	{`memory > 99999999999999999999999999999999GiB`, 10, `not a size`},
	{`last_contact > 30`, 16, `ages are whole numbers`},
	{`last_contact > 1.5d`, 16, `ages are whole numbers`},
	{`last_contact > 36501d`, 16, `too long ago`},
	{`last_contact > 99999999999999999999d`, 16, `too long ago`},
	{`last_contact = 30d`, 16, `= does not work with an age; use > 30d for longer ago`},
	{`last_contact in (2026-11-01, 3d)`, 30, `in does not work with an age`},
	{`last_contact > never`, 16, `> does not work with never`},
	{`last_contact < 2026-02-30`, 16, `dates are YYYY-MM-DD`},
	{`last_contact < 01/11/2026`, 16, `dates are YYYY-MM-DD`},
	{`last_contact < 1969-12-31`, 16, `dates are YYYY-MM-DD`},
	{`ip = 10.1.0.0/16`, 6, `use ip in`},
	{`ip in 10.1`, 7, `not an IP address`},
	{`ip in 10.1.0.0/33`, 7, `not an IP address`},
	{`ip = fe80::1%eth0`, 6, `not an IP address`},
	{`ip = ""`, 6, `not an IP address`},
	{`mac = 00:1a`, 7, `for a part: mac ~ 00:1a:2b`},
	{`mac = 00:1a:2b:3c:4d:5g`, 7, `not a MAC address`},
	{`mac ~ 00:1`, 7, `whole bytes`},
	{`mac ~ 00:1a:2b:3c:4d:5e:6f`, 7, `not part of a MAC address`},
	{`software = firefox`, 10, `software("firefox")`},
	{`software("")`, 10, `name is empty`},
	{`software(firefox, 140)`, 19, `write = "140"`},
	{`software(firefox, ~ 140)`, 19, `use one of =, !=, <, <=, >, >=`},
	{`software(firefox, < "")`, 21, `the version is empty`},
	{`software(firefox < 140)`, 18, `expected ) as in`},
	{`state = SUCCESS`, 7, `expected ( as in state(`},
	{`state(abc) = SUCCESS`, 7, `not a package ID`},
	{`state(1 = SUCCESS`, 9, `expected )`},
	{`state(1) ~ ERR`, 10, `use one of =, !=, in`},
	{`state(1) = ERR_EXECUT`, 12, `unknown state "ERR_EXECUT"; did you mean ERR_EXECUTE? states: NONE`},
}

func TestParseRefuses(t *testing.T) {
	for _, test := range refused {
		t.Run(test.text, func(t *testing.T) {
			expr, err := Parse(test.text)
			var failed *Error
			if !errors.As(err, &failed) {
				t.Fatalf("got %v and error %v, want an *Error", expr, err)
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			if failed.Column != test.column || !strings.Contains(first, test.part) {
				t.Errorf("got column %d, want %d with %q:\n%s", failed.Column, test.column, test.part, err)
			}
			checkError(t, test.text, failed)
		})
	}
}

func TestParseLimits(t *testing.T) {
	many := func(count int, text, separator string) string {
		return strings.Repeat(text+separator, count-1) + text
	}
	for _, test := range []struct {
		name, text string
		part       string // of the error; "" for accepted
	}{
		{"32 levels", strings.Repeat("(", 32) + "tag=a" + strings.Repeat(")", 32), ""},
		{"100 times one level", many(100, "(tag=a or tag=b)", " and "), ""},
		{"33 levels", strings.Repeat("not ", 33) + "tag=a", "more than 32 levels"},
		{"32 not and not in", strings.Repeat("not ", 32) + "tag not in a", "more than 32 levels"},
		{"256 terms", many(256, "tag=a", " and "), ""},
		{"257 terms", many(257, "tag=a", " and "), "more than 256 conditions"},
		{"1000 values", "tag in (" + many(1000, "a", ",") + ")", ""},
		{"1001 values", "tag in (" + many(1001, "a", ",") + ")", "more than 1000 values"},
		{"8 KiB", "tag = " + strings.Repeat("a", MaxText-6), ""},
		{"over 8 KiB", "tag = " + strings.Repeat("a", MaxText-5), "the query has 8193 bytes"},
		{"over 8 KiB when canonical", "tag=" + strings.Repeat("a", MaxText-4), "once spaced and quoted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			expr, err := Parse(test.text)
			switch {
			case err == nil && test.part == "":
				checkRoundTrip(t, expr)
			case err == nil || test.part == "" || !strings.Contains(err.Error(), test.part):
				t.Errorf("got error %v, want %q", err, test.part)
			}
		})
	}
}

func TestErrorShowsThePlace(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, test := range []struct{ name, text, want string }{
		{"token", `(nmae = é)`, "  (nmae = é)\n   ^^^^"},
		{"after accents", `name = é < 5`, "  name = é < 5\n           ^"},
		{"combining accent", "name = e\u0301 < 5", "  name = e\u0301 < 5\n           ^"},
		{"end", `name =`, "  name =\n        ^"},
		{"lines and tabs", "name = a\n\tor nmae = b", "  name = a  or nmae = b\n               ^^^^"},
		{"hidden characters", "name = a\u202eb", "  name = a\ufffdb\n          ^"},
		{
			"long query", "name = " + long + " and nmae = " + long,
			"  ..." + strings.Repeat("x", 40) + " and nmae = " + strings.Repeat("x", 18) + "...\n" +
				"  " + strings.Repeat(" ", 48) + "^^^^",
		},
		{
			"long token", "name = x " + long,
			"  name = x " + strings.Repeat("x", 61) + "...\n" + "           " + strings.Repeat("^", 61),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.text)
			if err == nil {
				t.Fatal("accepted")
			}
			if _, got, _ := strings.Cut(err.Error(), "\n"); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
