package id

import (
	"bytes"
	"slices"
	"strings"
)

// alphabet is base58btc's: digits and letters without 0, O, I and l.
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// encode58 spells data in base58btc: each leading zero byte as '1', the rest as one number. The time grows
// with the square of the length, so it is for a peer ID's 38 bytes.
func encode58(data []byte) string {
	var digits []byte // of the number, the lowest first
	for _, b := range data {
		carry := int(b)
		for i := range digits {
			carry += int(digits[i]) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	for _, b := range data {
		if b != 0 {
			break
		}
		digits = append(digits, 0)
	}
	slices.Reverse(digits)
	for i, digit := range digits {
		digits[i] = alphabet[digit]
	}
	return string(digits)
}

// decode58 is the reverse of encode58; false for a character outside the alphabet. Every text over the
// alphabet is the spelling of exactly one run of bytes.
func decode58(text string) ([]byte, bool) {
	var data []byte // of the number, the lowest byte first
	for i := range len(text) {
		carry := strings.IndexByte(alphabet, text[i])
		if carry < 0 {
			return nil, false
		}
		for k := range data {
			carry += int(data[k]) * 58
			data[k] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			data = append(data, byte(carry))
		}
	}
	ones := len(text) - len(strings.TrimLeft(text, alphabet[:1]))
	data = append(data, bytes.Repeat([]byte{0}, ones)...)
	slices.Reverse(data)
	return data, true
}
