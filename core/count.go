package core

import "strconv"

// Count writes a number of things in English, of a noun whose plural ends in s: 1 computer, 2 computers.
func Count[N int | int64](n N, noun string) string {
	text := strconv.FormatInt(int64(n), 10) + " " + noun
	if n != 1 {
		text += "s"
	}
	return text
}
