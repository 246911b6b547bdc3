package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are chosen below the range from which Linux takes those of outgoing connections (32768 and up),
// the bus of a cluster node (port + 10000) included. Inside it, a client that keeps dialling a killed
// server sooner or later gets the server's port as its own and connects to itself.
const (
	firstPort = 10240
	lastPort  = 22000
)

// freePort returns a loopback port that nobody listened on a moment ago.
func freePort() (int, error) {
	const attempts = 100
	var last error
	for range attempts {
		port := firstPort + rand.N(lastPort-firstPort+1)
		l, err := net.Listen("tcp", addrOf(port))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port in %d attempts: %w", attempts, last)
}

func addrOf(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
