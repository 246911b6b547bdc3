package sandbox

// roll is a number drawn from the seed, a purpose, a name and a count. It has
// no state: the nth call of a card gets the same draw whatever other calls run
// at the same time, which a shared random source could not promise.
func roll(seed uint64, purpose, name string, n uint64) uint64 {
	const (
		fnvOffset = 14695981039346656037
		fnvPrime  = 1099511628211
	)
	h := uint64(fnvOffset)
	for _, s := range [...]string{purpose, name} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * fnvPrime
		}
		h = (h ^ 0xff) * fnvPrime // keeps ("ab","c") apart from ("a","bc")
	}
	return mix(mix(h^seed) + n*0x9e3779b97f4a7c15)
}

// mix spreads every input bit over the whole word (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// isShare reports whether x is from 0 to 1, which NaN is not.
func isShare(x float64) bool { return x >= 0 && x <= 1 }

// unit maps a draw to [0,1).
func unit(draw uint64) float64 { return float64(draw>>11) / (1 << 53) }
