package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

// busy is the share of the processors that is in use while this program lets a second pass: what others do. It is
// 0 where the system does not tell.
func busy(ctx context.Context) (float64, error) {
	used, total := jiffies()
	if err := sleep(ctx, time.Second); err != nil {
		return 0, err
	}
	used2, total2 := jiffies()
	if total2 <= total {
		return 0, nil
	}
	return float64(used2-used) / float64(total2-total), nil
}

// jiffies are the processors' ticks so far, and those of them that were not idle.
func jiffies() (used, total uint64) {
	if runtime.GOOS != "linux" {
		return 0, 0
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	// user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, stolen by other machines
	var t [8]uint64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d %d", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]); err != nil {
		return 0, 0
	}
	for _, v := range t {
		total += v
	}
	return total - t[3] - t[4], total
}
