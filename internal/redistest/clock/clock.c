/* Loaded into a redis-server before anything else, it moves the time of day that the server sees by the
 * microseconds that are in the file $CLOCK_OFFSET_FILE. Intervals are left alone, as on a machine whose
 * clock is set. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *offset;

__attribute__((constructor)) static void map_offset(void) {
	const char *name = getenv("CLOCK_OFFSET_FILE");
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0) abort();
	void *p = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) abort();
	close(fd);
	offset = p;
}

/* The system is asked directly: the allocator asks for the time before the loader has found libc's own
 * function, and whoever looks it up then would need the allocator. */
int clock_gettime(clockid_t id, struct timespec *ts) {
	int rc = (int)syscall(SYS_clock_gettime, id, ts);
	if (rc != 0 || offset == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return rc;
	int64_t nsec = ts->tv_nsec + *offset % 1000000 * 1000;
	ts->tv_sec += *offset / 1000000 + (nsec >= 1000000000) - (nsec < 0);
	ts->tv_nsec = nsec - (nsec >= 1000000000) * 1000000000LL + (nsec < 0) * 1000000000LL;
	return 0;
}

int gettimeofday(struct timeval *tv, void *tz) {
	struct timespec ts;
	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t) {
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL) *t = ts.tv_sec;
	return ts.tv_sec;
}
