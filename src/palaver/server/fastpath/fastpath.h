/* The fast path of one engine: what it knows, and its steps. */

#ifndef PALAVER_FASTPATH_H
#define PALAVER_FASTPATH_H

#include "frames.h"
#include "objects.h"

typedef struct {
    PyObject_HEAD
    const Objects *at;
    PyObject *state, *moderated;            /* the engine's: a State, the names of rooms about which something was decided */
    PyObject *performer, *fanout, *stats;   /* the shell's */
    PyObject *clock;                        /* gives monotonic seconds */
    Py_ssize_t text_chars, frame_bytes;     /* at most */
    double frame_seconds;                   /* from one frame of a connection to the next; 0 where nothing is slowed down */
    Buffer buffer;
    Py_ssize_t looked_at;                   /* the result that `deliver` looked at last */
} FastPath;

/* Take what a connection read, from the bytes to the job for the log. */
Answer receive(FastPath *self, PyObject *connection, PyObject *data);

/* Show a stored message to its room and acknowledge it. */
Answer deliver(FastPath *self, PyObject *result, PyObject *now);

/* Write a chunk to the members of a room; the others, who get something else too, are added to a list. */
int write_members(const Objects *at, PyObject *members, PyObject *ahead, PyObject *chunk, PyObject *others,
                  Py_ssize_t *writes, Py_ssize_t *bytes);

/* Write a chunk to all connections of a list, whatever else they get. */
int write_readers(const Objects *at, PyObject *readers, PyObject *chunk);

/* A user's window and the times in it, borrowed, both NULL where nobody has one. */
Answer find_window(const FastPath *self, PyObject *user, PyObject **window, PyObject **times);

#endif
