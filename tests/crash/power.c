/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * power [OPTION…] FOLDER: tells a story over the image in FOLDER, lets the power fail in the middle of it in many
 * ways, and asks of each disk that is left whether it is sound and shows what it may; qemu-img check is asked too.
 * Ends with 0 when all of them are well, and prints how many different ones there were. Else it says which one was
 * not, how to come back to it, and leaves it in FOLDER/bad.
 */
#include "base/bits.h"
#include "base/cleanup.h"
#include "disk.h"
#include "oracle.h"
#include "state.h"
#include "story.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
        PATH_LEN = 512,
        CHOICES_FIRST = 3, /* beyond those that have names */
        ORACLE_AGAIN =
                8, /* one in so many is shown to qemu-img a second time, when it was written again */
};

typedef struct Options {
        const char *folder, *format, *hashes;
        Plot plot;
        unsigned choices; /* random ones, for each place */
        uint64_t most;    /* beyond one for each place; 0: no bound */
        bool sparse;      /* without that one for each place */
        bool with_oracle, with_check;
} Options;

typedef struct Power {
        Options options;
        Disk disk;
        Story story;
        Oracle oracle;
        uint64_t *hashes; /* owned: of the states seen */
        size_t hash_count, hash_room;
        size_t looked; /* at places and choices, different or not */
} Power;

static int usage(void)
{
        fputs("usage: power [--format=NAME] [--seed=N] [--deeds=N] [--threads=N] [--cluster=BYTES]\n"
              "             [--max-size=BYTES] [--choices=N] [--most=N] [--sparse] [--no-qemu] [--no-check] [--hashes=FILE] FOLDER\n",
              stderr);
        return 2;
}

static int options_read(Options *o, int argc, char **argv)
{
        static const struct option known[] = {
                { "format", required_argument, NULL, 'f' },
                { "seed", required_argument, NULL, 's' },
                { "deeds", required_argument, NULL, 'd' },
                { "threads", required_argument, NULL, 't' },
                { "cluster", required_argument, NULL, 'c' },
                { "max-size", required_argument, NULL, 'm' },
                { "choices", required_argument, NULL, 'r' },
                { "most", required_argument, NULL, 'n' },
                { "sparse", no_argument, NULL, 'p' },
                { "no-qemu", no_argument, NULL, 'q' },
                { "no-check", no_argument, NULL, 'k' },
                { "hashes", required_argument, NULL, 'h' },
                { 0 },
        };
        int c = 0;

        *o = (Options){
                .format = "qcow2",
                .plot = { .seed = 1, .deed_count = 60, .thread_count = 1, .cluster = 65536 },
                .choices = 2,
                .with_oracle = true,
                .with_check = true
        };
        while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
                uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;
                switch (c) {
                case 'f':
                        o->format = optarg;
                        break;
                case 's':
                        o->plot.seed = (uint32_t)number;
                        break;
                case 'd':
                        o->plot.deed_count = (size_t)number;
                        break;
                case 't':
                        o->plot.thread_count = (size_t)number;
                        break;
                case 'c':
                        o->plot.cluster = number;
                        break;
                case 'm':
                        o->plot.max_size = number;
                        break;
                case 'r':
                        o->choices = (unsigned)number;
                        break;
                case 'n':
                        o->most = number;
                        break;
                case 'p':
                        o->sparse = true;
                        break;
                case 'q':
                        o->with_oracle = false;
                        break;
                case 'k':
                        o->with_check = false;
                        break;
                case 'h':
                        o->hashes = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        }
        /* A story that several threads tell cannot say which sizes the disk had. */
        if (optind + 1 != argc || o->plot.thread_count < 1 ||
            o->plot.thread_count > STORY_THREADS ||
            (o->plot.thread_count > 1 && o->plot.max_size > 0))
                return -EINVAL;
        o->folder = argv[optind];
        return 0;
}

/* 1: not seen before. */
static int power_remember(Power *p, uint64_t hash)
{
        for (size_t i = 0; i < p->hash_count; i++)
                if (p->hashes[i] == hash)
                        return 0;
        if (p->hash_count == p->hash_room) {
                size_t room = p->hash_room * 2 + 1024;
                uint64_t *grown = reallocarray(p->hashes, room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                p->hashes = grown;
                p->hash_room = room;
        }
        p->hashes[p->hash_count++] = hash;
        return 1;
}

/* For whoever wants to look at it. */
static void power_keep(Power *p, const State *s)
{
        char folder[PATH_LEN];

        snprintf(folder, sizeof(folder), "%s/bad", p->options.folder);
        mkdir(folder, 0755);
        store_save(s->files.image, folder, DISK_IMAGE);
        if (s->files.data)
                store_save(s->files.data, folder, DISK_DATA);
        if (p->disk.base)
                store_save(p->disk.base, folder, DISK_BASE);
}

/* What is asked of a state that is seen for the first time. */
static int power_check_new(Power *p, State *s, const char *label, Err *err)
{
        uint32_t seed = (uint32_t)p->hash_count;

        if (p->options.with_oracle) {
                int r = oracle_ask(&p->oracle, s->files.image, label, err);
                if (r < 0)
                        return r;
        }
        int r = p->options.with_check ? state_check_sound(s, err) : 0;
        if (r == 0)
                r = state_check_promises(s, err);
        if (r == 0 && p->options.with_check)
                r = state_check_goes_on(s, seed, err);
        if (r == 0 && p->options.with_oracle && p->hash_count % ORACLE_AGAIN == 0)
                r = oracle_ask(&p->oracle, s->files.image, label, err);
        return r;
}

static int power_check(Power *p, Replayer *replayer, size_t count, uint64_t choice, Err *err)
{
        _cleanup_state_ State s = { .disk = &p->disk, .story = &p->story, .count = count };
        char label[ORACLE_LABEL];

        snprintf(label, sizeof(label), "operation %zu, choice %" PRIu64, count, choice);
        int r = replayer_replay(replayer, choice, 0, &s.files.image);
        if (r == 0 && p->disk.files.data)
                r = replayer_replay(replayer, choice, 1, &s.files.data);
        if (r < 0)
                return err_set(err, -r, "%s: cannot replay it: %m", label);

        p->looked++;
        int is_new = power_remember(p, state_hash(&s));
        if (is_new < 0)
                return err_set(err, -is_new, "%m");
        r = state_check_read(&s, err);
        if (r == 0 && is_new)
                r = power_check_new(p, &s, label, err);
        if (r < 0) {
                power_keep(p, &s);
                return err_prefix(err, r, "%s", label);
        }
        return 0;
}

/* Ways in which the power fails when `count` operations have been done: all of them, or only the one that says most
 * about the order of operations. */
static int power_fail_at(Power *p, Replayer *replayer, size_t count, bool all, Err *err)
{
        uint64_t choices = CHOICES_FIRST + p->options.choices;

        int r = replayer_advance(replayer, count);
        if (r < 0)
                return err_set(err, -r, "operation %zu: cannot replay: %m", count);
        for (uint64_t i = 0; i < choices; i++) {
                if (!all && (p->options.sparse || i != REPLAY_LAST))
                        continue;
                r = power_check(p, replayer, count, i < CHOICES_FIRST ? i : i + count * choices,
                                err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* At every place of the recording; in all ways at every place, or at as many as the bound allows, evenly. */
static int power_fail(Power *p, Err *err)
{
        _cleanup_replayer_ Replayer *replayer = NULL;
        uint64_t count = recording_get_count(p->story.recording) + 1;
        uint64_t full = count;

        int r = replayer_new(p->story.recording, &replayer);
        if (r < 0)
                return err_set(err, -r, "cannot replay: %m");
        if (p->options.most > 0)
                full = u64_min(count, p->options.most / (CHOICES_FIRST - 1 + p->options.choices));
        for (uint64_t i = 0; i < count && r == 0; i++)
                r = power_fail_at(p, replayer, (size_t)i,
                                  i == 0 || (i - 1) * full / count != i * full / count, err);
        if (r == 0 && p->options.with_oracle)
                r = oracle_wait(&p->oracle, err);
        return r;
}

static int power_write_hashes(const Power *p, Err *err)
{
        if (!p->options.hashes)
                return 0;
        FILE *f = fopen(p->options.hashes, "ae");
        if (!f)
                return err_set(err, errno, "%s: %m", p->options.hashes);
        size_t written = fwrite(p->hashes, sizeof(*p->hashes), p->hash_count, f);
        if (fclose(f) != 0 || written != p->hash_count)
                return err_set(err, EIO, "%s: cannot write it", p->options.hashes);
        return 0;
}

static int power_run(Power *p, Err *err)
{
        int r = disk_load(p->options.folder, p->options.format, &p->disk, err);
        if (r == 0)
                r = story_tell(&p->story, &p->disk, &p->options.plot, err);
        if (r == 0 && p->options.with_oracle)
                r = oracle_init(&p->oracle, &p->disk, p->options.folder, err);
        if (r == 0)
                r = power_fail(p, err);
        if (r == 0)
                r = power_write_hashes(p, err);
        return r;
}

int main(int argc, char **argv)
{
        Power p = { 0 };
        Err err = { "" };

        if (options_read(&p.options, argc, argv) < 0)
                return usage();
        int r = power_run(&p, &err);
        size_t operations = p.story.recording ? recording_get_count(p.story.recording) : 0;
        printf("%zu operations, %zu power failures, %zu different disks left\n", operations,
               p.looked, p.hash_count);
        fflush(stdout);
        if (r < 0)
                fprintf(stderr, "%s: seed %" PRIu32 ": %s\n", p.options.folder, p.options.plot.seed,
                        err.text);
        oracle_wait(&p.oracle, NULL);
        story_done(&p.story);
        disk_done(&p.disk);
        free(p.hashes);
        return r < 0;
}
