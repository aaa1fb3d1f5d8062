/* A small or broken disk for one folder, put between a program and its system
   (LD_PRELOAD). DISK_FOLDER names the folder, DISK_ORDER a file outside it:
   "room N" lets its files have N bytes altogether, "broken" lets no write and
   no sync through, anything else is a disk that works. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_ours(int fd) {
    const char *folder = getenv("DISK_FOLDER");
    char link[64], path[4096];
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    return strncmp(path, folder, prefix) == 0 && path[prefix] == '/';
}

static long long used(void) {
    const char *folder = getenv("DISK_FOLDER");
    long long sum = 0;
    DIR *dir = opendir(folder);
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        struct stat found;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &found) == 0 && S_ISREG(found.st_mode)) sum += found.st_size;
    }
    closedir(dir);
    return sum;
}

/* Zero, or the error of an operation after which the file is `end` long. */
static int fault(int fd, long long end) {
    char order[64] = "";
    const char *path = getenv("DISK_ORDER");
    if (!path || !is_ours(fd)) return 0;
    int file = open(path, O_RDONLY);
    if (file < 0) return 0;
    ssize_t length = read(file, order, sizeof order - 1);
    close(file);
    if (length <= 0) return 0;
    if (strncmp(order, "broken", 6) == 0) return EIO;
    long long room;
    struct stat now;
    if (sscanf(order, "room %lld", &room) != 1 || fstat(fd, &now) != 0) return 0;
    long long growth = end - now.st_size;
    return growth > 0 && used() + growth > room ? ENOSPC : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAY(fd, end) \
    do { \
        int error = fault(fd, end); \
        if (error) { errno = error; return -1; } \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t count) {
    MAY(fd, lseek(fd, 0, SEEK_CUR) + (long long)count);
    return REAL(write)(fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    MAY(fd, at + (long long)count);
    return REAL(pwrite)(fd, bytes, count, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    MAY(fd, at + (long long)count);
    return REAL(pwrite64)(fd, bytes, count, at);
}
int ftruncate(int fd, off_t length) {
    MAY(fd, length);
    return REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
    MAY(fd, length);
    return REAL(ftruncate64)(fd, length);
}
int fsync(int fd) {
    MAY(fd, 0);
    return REAL(fsync)(fd);
}
int fdatasync(int fd) {
    MAY(fd, 0);
    return REAL(fdatasync)(fd);
}
