// Stands between a process and the C library (LD_PRELOAD): counts what the process does to the files below one folder,
// and kills it before call number k or lets that call fail; also turns the clock. Does nothing until it is armed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH = 2, RENAME = 4, REMOVE = 8, MAKE = 16 };

static char folder[PATH_MAX];
static int counted, failure, forever, log_descriptor = -1;
static long faulty;
static atomic_long calls;
static time_t turned_s;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

// error 0: the process dies before its call number `number` (from 0); else that call fails with this errno; with
// `ever` all calls from that one on. `kinds` says which calls count. Each that counts is a line of the file `log`.
void prove_arm(const char *below, long number, int kinds, int error, int ever, const char *log) {
    snprintf(folder, sizeof folder, "%s", below);
    faulty = number, failure = error, forever = ever, calls = 0;
    log_descriptor = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    counted = kinds;
}

void prove_turn_clock(long seconds) { turned_s = seconds; }

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static void place_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
}

// Returns whether the call must fail; errno is set then.
static int meet(int kind, const char *name, const char *path) {
    if (!(counted & kind) || !is_below(path)) return 0;
    long number = atomic_fetch_add(&calls, 1);
    if (log_descriptor >= 0) dprintf(log_descriptor, "%s %s\n", name, path[strlen(folder)] ? path + strlen(folder) : "/");
    if (number != faulty && !(forever && number > faulty)) return 0;
    if (!failure) kill(getpid(), SIGKILL);
    errno = failure;
    return 1;
}

static int meet_at(int kind, const char *name, int at, const char *given) {
    if (!(counted & kind)) return 0;
    char path[2 * PATH_MAX] = "";
    if (given[0] != '/') {
        if (at != AT_FDCWD) place_of(at, path);
        else if (!getcwd(path, PATH_MAX)) path[0] = 0;
        strcat(path, "/");
    }
    strncat(path, given, PATH_MAX);
    return meet(kind, name, path);
}

static int meet_in(int kind, const char *name, int descriptor) {
    if (!(counted & kind) || descriptor <= 2) return 0;
    char path[PATH_MAX];
    place_of(descriptor, path);
    return meet(kind, name, path);
}

#define IN(kind, type, name, declared, ...) \
    type name declared { return meet_in(kind, #name, descriptor) ? -1 : REAL(name)(__VA_ARGS__); }
#define AT(kind, name, at, path, declared, ...) \
    int name declared { return meet_at(kind, #name, at, path) ? -1 : REAL(name)(__VA_ARGS__); }

IN(WRITE, ssize_t, write, (int descriptor, const void *data, size_t size), descriptor, data, size)
IN(WRITE, ssize_t, writev, (int descriptor, const struct iovec *data, int count), descriptor, data, count)
IN(WRITE, ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t to), descriptor, data, size, to)
IN(WRITE, ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t to), descriptor, data, size, to)
IN(WRITE, int, ftruncate, (int descriptor, off_t size), descriptor, size)
IN(WRITE, int, ftruncate64, (int descriptor, off64_t size), descriptor, size)
IN(WRITE, ssize_t, sendfile, (int descriptor, int from, off_t *at, size_t size), descriptor, from, at, size)
IN(WRITE, ssize_t, sendfile64, (int descriptor, int from, off64_t *at, size_t size), descriptor, from, at, size)
IN(FLUSH, int, fsync, (int descriptor), descriptor)
IN(FLUSH, int, fdatasync, (int descriptor), descriptor)
AT(RENAME, rename, AT_FDCWD, to, (const char *from, const char *to), from, to)
AT(RENAME, renameat, two, to, (int one, const char *from, int two, const char *to), one, from, two, to)
AT(REMOVE, unlink, AT_FDCWD, path, (const char *path), path)
AT(REMOVE, rmdir, AT_FDCWD, path, (const char *path), path)
AT(REMOVE, unlinkat, at, path, (int at, const char *path, int flags), at, path, flags)
AT(MAKE, mkdir, AT_FDCWD, path, (const char *path, mode_t mode), path, mode)
AT(MAKE, mkdirat, at, path, (int at, const char *path, mode_t mode), at, path, mode)

static int may_change(int flags) { return flags & (O_CREAT | O_TRUNC); }

#define OPEN(name, at, declared, ...)                                                    \
    int name declared {                                                                  \
        mode_t mode = 0;                                                                 \
        if (flags & (O_CREAT | O_TMPFILE)) {                                             \
            va_list more;                                                                \
            va_start(more, flags);                                                       \
            mode = va_arg(more, mode_t);                                                 \
            va_end(more);                                                                \
        }                                                                                \
        if (may_change(flags) && meet_at(MAKE, #name, at, path)) return -1;              \
        return REAL(name)(__VA_ARGS__, mode);                                            \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), path, flags)
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), path, flags)
OPEN(openat, place, (int place, const char *path, int flags, ...), place, path, flags)
OPEN(openat64, place, (int place, const char *path, int flags, ...), place, path, flags)

int clock_gettime(clockid_t clock, struct timespec *found) {
    int code = REAL(clock_gettime)(clock, found);
    if (!code && turned_s && clock == CLOCK_REALTIME) found->tv_sec += turned_s;
    return code;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *found, void *zone) {
    int code = REAL(gettimeofday)(found, zone);
    if (!code && turned_s) found->tv_sec += turned_s;
    return code;
}
