/* Preloaded into a process: appends to $POWER_TRACE what it writes to palaver.db and its log, and what it syncs.
 * Each record: operation, file ('d'atabase or 'w'rite-ahead log), offset, length, and for a write the bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int trace = -1;

static char kind(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    if (name && !strcmp(name, "/palaver.db")) return 'd';
    if (name && !strcmp(name, "/palaver.db-wal")) return 'w';
    return 0;
}

static void record(char operation, int fd, int64_t offset, int64_t length, const void *data) {
    char file = kind(fd);
    if (!file) return;
    if (trace < 0) trace = open(getenv("POWER_TRACE"), O_WRONLY | O_APPEND | O_CLOEXEC);
    char head[18] = {operation, file};
    memcpy(head + 2, &offset, 8);
    memcpy(head + 10, &length, 8);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, data ? (size_t)length : 0}};
    if (writev(trace, parts, 2) < 0) abort();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    ssize_t written = REAL(pwrite64)(fd, data, length, offset);
    if (written > 0) record('W', fd, offset, written, data);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

int ftruncate64(int fd, off64_t length) {
    record('T', fd, length, 0, NULL);
    return REAL(ftruncate64)(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fdatasync(int fd) {
    int result = REAL(fdatasync)(fd);
    if (result == 0) record('S', fd, 0, 0, NULL);
    return result;
}

int fsync(int fd) {
    int result = REAL(fsync)(fd);
    if (result == 0) record('S', fd, 0, 0, NULL);
    return result;
}
