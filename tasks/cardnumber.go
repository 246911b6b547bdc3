package tasks

// Card numbers have 13 to 19 digits by today's schemes.
const (
	minCardNumber = 13
	maxCardNumber = 19
)

// HasCardNumber reports whether the text holds what looks like a card number: 13 to 19 digits, perhaps in
// groups, that pass the check of ISO/IEC 7812 (Luhn). One number in ten passes by chance.
func HasCardNumber(text string) bool {
	var digits []byte
	separated := false
	check := func() bool {
		found := len(digits) >= minCardNumber && len(digits) <= maxCardNumber && luhn(digits)
		digits, separated = digits[:0], false
		return found
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
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
