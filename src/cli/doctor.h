/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands in the way of a view, each thing with the line that mends it. Each function looks at one part of the machine and
 * says what it finds through doctor_say(); none waits longer than some seconds, whatever hangs. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum DoctorGrade {
        DOCTOR_OK,   /* said with -v only */
        DOCTOR_NOTE, /* it works, and something is lost */
        DOCTOR_BAD,  /* it stands in the way */
} DoctorGrade;

typedef struct Doctor {
        bool as_json, is_verbose, has_colour;
        size_t width; /* of the terminal; 0: there is none */
        size_t said, bad;
} Doctor;

/* `about` is a file, a unit or the like; `mend` what to type or to do, NULL: nothing. Texts may come from anywhere. */
void doctor_say(
        Doctor *d, DoctorGrade grade, const char *about, const char *mend, const char *fmt, ...)
        __attribute__((format(printf, 5, 6)));

/* Stands before a line that only root can type; root does not see it. */
#define DOCTOR_ROOT "by root: "

/* What puts back what is missing of the package here. */
const char *doctor_reinstall(void);

/* doctor-fuse.c: the device, the module, fusermount3, fuse.conf, rights. */
void doctor_look_at_fuse(Doctor *d);

/* doctor-system.c: the kernel, the worker's user, our own programs. */
void doctor_look_at_system(Doctor *d);

/* doctor-installed.c: units, generators, rules of udev and polkit, and whether they belong to this command. */
void doctor_look_at_installed(Doctor *d);

/* doctor-policy.c: are the profiles of AppArmor and the module of SELinux loaded? */
void doctor_look_at_policy(Doctor *d);

/* doctor-limits.c: limits of the shell that started this. */
void doctor_look_at_limits(Doctor *d);

/* doctor-folder.c: the run-time folder. */
void doctor_look_at_folder(Doctor *d);

/* doctor-denials.c: what AppArmor or SELinux has refused of late. */
void doctor_look_at_denials(Doctor *d);

/* doctor-image.c: what keeps this one from being shown. */
void doctor_look_at_image(Doctor *d, const char *image);

/* doctor-views.c: views whose server is gone or stuck, and descriptors that are wrong. */
void doctor_look_at_views(Doctor *d);
void doctor_look_at_descriptors(Doctor *d);

/* doctor-units.c: services that have failed, of the system and of the caller. */
void doctor_look_at_units(Doctor *d);
