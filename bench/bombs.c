/* Loads for bench/neighbour.py, built as one static program: bombs KIND [NUMBER]. Each ends by
   itself after LONGEST seconds, has at most MOST processes, and writes at most MOST_MIB. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 8, MOST = 125, MOST_MIB = 1000 };

static void spin(void)
{
    for (volatile unsigned long n = 0;; n++) {
    }
}

static void sleep_often(void)
{
    const struct timespec moment = {0, 50000};
    for (;;)
        nanosleep(&moment, NULL);
}

/* Two processes send one byte back and forth. */
static void ping_pong(void)
{
    int there[2], back[2];
    char byte = 'x';
    if (pipe(there) || pipe(back))
        exit(1);
    int first = fork() != 0;
    alarm(LONGEST);
    if (first && write(there[1], &byte, 1) != 1)
        exit(1);
    for (;;) {
        if (read(first ? back[0] : there[0], &byte, 1) != 1 || write(first ? there[1] : back[1], &byte, 1) != 1)
            exit(1);
    }
}

static void print_lines(void)
{
    static char lines[100 * 100];
    memset(lines, 'y', sizeof lines);
    for (size_t end = 99; end < sizeof lines; end += 100)
        lines[end] = '\n';
    for (;;)
        if (write(1, lines, sizeof lines) < 0)
            exit(1);
}

/* Write a file and sync it, repeatedly. */
static void write_files(void)
{
    static char block[1 << 20];
    memset(block, 'z', sizeof block);
    for (int written = 0; written < MOST_MIB;) {
        int file = open("fill", O_CREAT | O_TRUNC | O_WRONLY, 0600);
        if (file < 0)
            exit(1);
        for (int n = 0; n < 200 && written < MOST_MIB; n++, written++)
            if (write(file, block, sizeof block) < 0)
                exit(1);
        fsync(file);
        close(file);
    }
    exit(0);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    long number = argc > 2 ? atol(argv[2]) : 1;
    if (!strcmp(kind, "pipe"))
        number /= 2; /* each has two processes */
    for (long left = number < MOST ? number : MOST; left > 1; left--)
        if (fork() == 0)
            break;
    alarm(LONGEST); /* not inherited by fork(2) */
    if (!strcmp(kind, "write"))
        write_files();
    if (!strcmp(kind, "spin"))
        spin();
    if (!strcmp(kind, "sleep"))
        sleep_often();
    if (!strcmp(kind, "pipe"))
        ping_pong();
    if (!strcmp(kind, "print"))
        print_lines();
    fprintf(stderr, "bombs spin|sleep|pipe|print|write [NUMBER]\n");
    return 2;
}
