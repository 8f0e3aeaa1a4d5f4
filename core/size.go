package core

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

var sizePattern = regexp.MustCompile(`^([0-9]{1,18}) *(?i:(B|[KMGT]i?B?)?)$`)

// ParseSize reads a number of bytes as people write it, wherever one is asked for: 524288, 512KiB, 500 KB, 1MiB, 20G. The
// units that end in a plain B count by 1000, the others by 1024, in any case of letters. Refusals: E_FIELD, and E_LIMIT
// for what is above 2^63-1.
func ParseSize(text string) (int64, error) {
	parts := sizePattern.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, Refuse(ClassField, "%.40q is not a size such as 512KiB, 500MB or 20GiB", text)
	}
	number, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil { // 18 digits always fit
		return 0, Refuse(ClassField, "%.40q is not a size: %v", text, err)
	}
	unit := strings.ToUpper(parts[2])
	if unit == "" || unit == "B" {
		return number, nil
	}
	base := int64(1024)
	if len(unit) == 2 && unit[1] == 'B' {
		base = 1000
	}
	for range strings.IndexByte("KMGT", unit[0]) + 1 {
		if number > math.MaxInt64/base {
			return 0, Refuse(ClassLimit, "%.40q is too large", text)
		}
		number *= base
	}
	return number, nil
}
