package wire

import (
	"bytes"
	"testing"

	"enjambre/core"
	"enjambre/core/fragment"
)

// BenchmarkFrames measures one frame written and read again.
func BenchmarkFrames(b *testing.B) {
	for name, frame := range map[string]Frame{
		"ask":                   Ask{info, 7, 0},
		"have-1-fragment":       Have{info, []Range{{7, 7}}},
		"bitmap-8000-fragments": Bitmap{info, fragment.NewSet(8000)},
		"digests-65536":         Digests{make(fragment.Digests, core.MaxFragments)},
	} {
		b.Run(name, func(b *testing.B) {
			var data []byte
			var err error
			for b.Loop() {
				if data, err = Append(data[:0], frame); err != nil {
					b.Fatal(err)
				}
				if _, err := Read(bytes.NewReader(data), frame.Kind()); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(data)))
		})
	}
}
