package core

// Nearest returns the candidate, in ASCII, that word is most likely a misspelling of, or "" when none
// is close, for messages. Letters dropped, added, replaced and swapped count alike; more than half of them is no
// misspelling.
func Nearest[S ~string](word string, candidates []S) S {
	runes := []rune(word)
	best, least := S(""), max(1, len(runes)/2)+1
	for _, candidate := range candidates {
		if len(runes)-len(candidate) >= least {
			continue // so much too long that a foreign text of 8 KiB is not worth the work
		}
		if distance := editDistance(runes, []rune(string(candidate))); distance < least {
			best, least = candidate, distance
		}
	}
	return best
}

// editDistance is the optimal string alignment distance: Levenshtein's with swaps of neighbours.
func editDistance(a, b []rune) int {
	var older []int
	previous, current := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			current[j] = min(previous[j]+1, current[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], older[j-2]+1)
			}
		}
		older, previous, current = previous, current, make([]int, len(b)+1)
	}
	return previous[len(b)]
}
