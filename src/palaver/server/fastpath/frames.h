/* Frames as bytes: what a client sends, unmasked and taken apart, and what the server sends, put together.

   Knows JSON (RFC 8259) and the plain frame of RFC 6455; knows nothing of rooms. What it reads is a subset: a string with an
   escape, or a field that is not a string, is for somebody else. What it writes is what msgspec writes, to the byte. */

#ifndef PALAVER_FRAMES_H
#define PALAVER_FRAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Memory that is used for one frame after the other. */
typedef struct {
    char *bytes;
    size_t size, capacity;
} Buffer;

/* Make room for so many more bytes; NULL with an exception. */
char *room_for(Buffer *buffer, size_t more);

/* ---- reading ---- */

/* A string in a frame, without its quotes. */
typedef struct {
    const char *start;
    Py_ssize_t size; /* -1: it is not there, or null */
    int ascii;
} Span;

/* The fields of a `send`. */
typedef struct {
    Span id, room, text, cid;
} SendFrame;

/* Unmask into the buffer what is one whole, final, masked text frame of at most `limit` bytes, and nothing else.
   Returns 1; 0 if it is anything else; -1 with an exception. */
int unmask(Buffer *buffer, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t limit);

/* Take a `send` apart whose ids are plain; 0 if it is anything else, which may still be right. */
int read_send(const Buffer *buffer, SendFrame *frame);

/* A string as Python's, with an exception if it is not UTF-8. */
PyObject *read_string(const Span *span);

/* ---- writing, to the end of a buffer; 0 with an exception ---- */

int put_bytes(Buffer *buffer, const char *bytes, size_t size);
int put_string(Buffer *buffer, PyObject *text);
int put_integer(Buffer *buffer, long long value);
int put_int(Buffer *buffer, PyObject *value);
#define PUT(buffer, literal) put_bytes(buffer, literal, sizeof(literal) - 1)

/* What was written, as one whole text frame of a server. */
PyObject *framed(const Buffer *buffer);

#endif
