/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/name.h"

#include "base/cleanup.h"
#include "block/limits.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum {
        /* {"file": {…}}: what is nested deeper is not one local file. */
        NAME_JSON_DEPTH = 4,
};

static void json_object_freep(struct json_object **o)
{
        json_object_put(*o);
}

static void json_tokener_freep(struct json_tokener **t)
{
        if (*t)
                json_tokener_free(*t);
}

/* What a json: description says, as far as it means one local file. Borrowed from the parsed object. */
typedef struct JsonName {
        const char *driver, *file_driver;
        const char *filename, *file_filename;
} JsonName;

/* Sets one text of the description; a NUL inside would make two readers see two names. */
static int json_name_set(const char **text, const char *key, struct json_object *value, Err *err)
{
        if (!json_object_is_type(value, json_type_string))
                return err_set(err, EOPNOTSUPP, "'%s' in a json: name is not a string", key);
        const char *s = json_object_get_string(value);
        if (strlen(s) != (size_t)json_object_get_string_len(value))
                return err_set(err, EBADMSG, "'%s' in a json: name has a zero byte in it", key);
        if (*text)
                return err_set(err, EBADMSG, "a json: name gives '%s' twice", key);
        *text = s;
        return 0;
}

static int json_name_refuse_key(const char *prefix, const char *key, Err *err)
{
        return err_set(err, EOPNOTSUPP,
                       "a json: name with '%s%s' in it does not mean a local file alone", prefix,
                       key);
}

static int json_name_read_file(JsonName *j, struct json_object *file, Err *err)
{
        if (!json_object_is_type(file, json_type_object))
                return err_set(err, EOPNOTSUPP, "'file' in a json: name is not an object");

        json_object_object_foreach(file, key, value)
        {
                const char **text = strcmp(key, "driver") == 0     ? &j->file_driver
                                    : strcmp(key, "filename") == 0 ? &j->file_filename
                                                                   : NULL;
                if (!text)
                        return json_name_refuse_key("file.", key, err);
                int r = json_name_set(text, key, value, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const char **json_name_find(JsonName *j, const char *key)
{
        if (strcmp(key, "driver") == 0)
                return &j->driver;
        if (strcmp(key, "filename") == 0)
                return &j->filename;
        if (strcmp(key, "file.driver") == 0)
                return &j->file_driver;
        if (strcmp(key, "file.filename") == 0)
                return &j->file_filename;
        return NULL;
}

static int json_name_read(JsonName *j, struct json_object *top, Err *err)
{
        json_object_object_foreach(top, key, value)
        {
                int r = 0;
                const char **text = json_name_find(j, key);
                if (text)
                        r = json_name_set(text, key, value, err);
                else if (strcmp(key, "file") == 0)
                        r = json_name_read_file(j, value, err);
                else
                        r = json_name_refuse_key("", key, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The two drivers that mean a file or a block device of this host. */
static bool json_driver_is_local(const char *driver)
{
        return strcmp(driver, "file") == 0 || strcmp(driver, "host_device") == 0;
}

/* Which of the two forms it is: {"driver": "file", "filename": …}, or a format over such a one. */
static int json_name_settle(const JsonName *j,
                            const char **ret_path,
                            const char **ret_format,
                            Err *err)
{
        const char *protocol = j->file_driver;
        const char *path = j->file_filename;
        const char *format = j->driver;

        if (j->filename || (j->driver && json_driver_is_local(j->driver))) {
                if (j->file_driver || j->file_filename)
                        return err_set(err, EBADMSG, "a json: name gives two files");
                protocol = j->driver;
                path = j->filename;
                format = NULL;
        }
        if (protocol && !json_driver_is_local(protocol))
                return err_set(err, EOPNOTSUPP,
                               "driver '%s' in a json: name does not mean a local file", protocol);
        if (!path)
                return err_set(err, EOPNOTSUPP, "a json: name gives no 'filename'");
        *ret_path = path;
        *ret_format = format;
        return 0;
}

static int file_name_set(FileName *ret, const char *path, const char *format, Err *err)
{
        if (path[0] == '\0')
                return err_set(err, EBADMSG, "the name is empty");

        _cleanup_free_ char *path_copy = strdup(path);
        _cleanup_free_ char *format_copy = format ? strdup(format) : NULL;
        if (!path_copy || (format && !format_copy))
                return err_set(err, ENOMEM, "%m");
        *ret = (FileName){ .path = TAKE(path_copy), .format = TAKE(format_copy) };
        return 0;
}

static int file_name_parse_json(const char *text, FileName *ret, Err *err)
{
        _cleanup_(json_tokener_freep) struct json_tokener *tokener =
                json_tokener_new_ex(NAME_JSON_DEPTH);
        if (!tokener)
                return err_set(err, ENOMEM, "%m");
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);

        /* With the NUL, so that a number or a name at the end is known to be complete. */
        _cleanup_(json_object_freep) struct json_object *top =
                json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
        if (!top || !json_object_is_type(top, json_type_object))
                return err_set(err, EBADMSG, "what follows json: is not a JSON object");

        JsonName j = { 0 };
        const char *path = NULL, *format = NULL;
        int r = json_name_read(&j, top, err);
        if (r < 0)
                return r;
        r = json_name_settle(&j, &path, &format, err);
        if (r < 0)
                return r;
        return file_name_set(ret, path, format, err);
}

int file_name_parse(const char *name, FileName *ret, Err *err)
{
        if (strlen(name) > LIMIT_NAME_LEN)
                return err_set(err, EFBIG, "the name is %zu bytes long; the limit is %d",
                               strlen(name), LIMIT_NAME_LEN);
        if (strncmp(name, "json:", 5) == 0)
                return file_name_parse_json(name + 5, ret, err);
        if (strncmp(name, "file:", 5) == 0)
                return file_name_set(ret, name + 5, NULL, err);

        size_t protocol = strcspn(name, ":/");
        if (name[protocol] == ':')
                return err_set(err, EOPNOTSUPP, "protocol '%.*s:' is not a local file",
                               (int)protocol, name);
        return file_name_set(ret, name, NULL, err);
}

void file_name_done(FileName *f)
{
        free(f->path);
        free(f->format);
        *f = (FileName){ 0 };
}
