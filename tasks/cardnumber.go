package tasks

// Card numbers have 13 to 19 digits by today's schemes.
const (
	minCardNumber = 13
	maxCardNumber = 19
)

// HasCardNumber reports whether the text holds what looks like a card number: 13 to 19 digits that pass the check of
// ISO/IEC 7812 (Luhn), perhaps in groups with one space, dash or dot between them. Other groups may stand before and
// behind. One number in ten passes by chance.
func HasCardNumber(text string) bool {
	var (
		digits []byte // of groups that belong together
		starts []int  // where each group begins in them
	)
	separated := false
	check := func() bool {
		found := holdsCardNumber(digits, starts)
		digits, starts, separated = digits[:0], starts[:0], false
		return found
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			if separated || len(digits) == 0 {
				starts = append(starts, len(digits))
			}
			digits, separated = append(digits, c-'0'), false
		case (c == ' ' || c == '-' || c == '.') && len(digits) > 0 && !separated:
			separated = true // One character between two groups.
		default:
			if check() {
				return true
			}
		}
	}
	return check()
}

// holdsCardNumber reports whether some of the groups of digits are a card number together.
func holdsCardNumber(digits []byte, starts []int) bool {
	for i, start := range starts {
		for j := i + 1; j <= len(starts); j++ {
			end := len(digits)
			if j < len(starts) {
				end = starts[j]
			}
			if end-start > maxCardNumber {
				break
			}
			if end-start >= minCardNumber && luhn(digits[start:end]) {
				return true
			}
		}
	}
	return false
}

// luhn reports whether the last of the digits is the check digit of the others.
func luhn(digits []byte) bool {
	sum := 0
	for i, d := range digits {
		n := int(d)
		if (len(digits)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
