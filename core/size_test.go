package core

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"524288": 524288, "0": 0, "7B": 7, "512KiB": 512 << 10, "512K": 512 << 10, "512kib": 512 << 10, "500KB": 500e3, "500 KB": 500e3,
		" 1MiB\t": 1 << 20, "20GiB": 20 << 30, "20GB": 20e9, "3 TiB": 3 << 40, "2T": 2 << 40, "2Ti": 2 << 40, "7ki": 7 << 10,
		"": -1, "GiB": -1, "-1GiB": -1, "+1": -1, "1.5GiB": -1, "9000000TiB": -1, "1PB": -1, "1 B x": -1, "1e3": -1, "0x10": -1,
		"1234567890123456789": -1, "1Bi": -1,
	} {
		got, err := ParseSize(text)
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\nb": "a\r\nb", "": "", "\uFEFFkey = 1": "key = 1", "\uFEFF": "", "ñ": "ñ",
		"\xff\xfea\x00": "E_FORMAT", "\xfe\xff\x00a": "E_FORMAT", "a\x00b\x00": "E_FORMAT", "\xf1": "E_FORMAT",
	} {
		got, err := Text([]byte(text))
		if want == "E_FORMAT" {
			if ClassOf(err) != ClassFormat {
				t.Errorf("%q: got %q, %v", text, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
