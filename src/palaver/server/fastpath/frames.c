/* Frames as bytes; see frames.h. */

#include "frames.h"

#include <stdint.h>
#include <string.h>

#define LONGEST_ID 64 /* palaver.chat.requests.Id */

char *
room_for(Buffer *buffer, size_t more)
{
    if (buffer->size + more > buffer->capacity) {
        size_t capacity = 2 * (buffer->size + more);
        char *grown = PyMem_Realloc(buffer->bytes, capacity);
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->size;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

int
unmask(Buffer *buffer, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t limit)
{
    if (size < 6 || bytes[0] != 0x81 || bytes[1] < 0x80) {
        return 0;
    }
    Py_ssize_t length = bytes[1] & 0x7F, start = 6;
    if (length == 126 && size >= 8) {
        start = 8;
        length = bytes[2] << 8 | bytes[3];
    }
    if (start + length != size || length > limit) {
        return 0;
    }
    buffer->size = 0;
    char *to = room_for(buffer, length);
    if (to == NULL) {
        return -1;
    }
    uint32_t half;
    memcpy(&half, bytes + start - 4, 4);
    uint64_t mask = (uint64_t)half << 32 | half, word;
    Py_ssize_t done = 0;
    for (bytes += start; done + 8 <= length; done += 8) {
        memcpy(&word, bytes + done, 8);
        word ^= mask;
        memcpy(to + done, &word, 8);
    }
    for (; done < length; done++) {
        to[done] = (char)(bytes[done] ^ ((unsigned char *)&half)[done & 3]);
    }
    buffer->size = length;
    return 1;
}

static const char *
skip_spaces(const char *one, const char *end)
{
    while (one < end && (*one == ' ' || *one == '\t' || *one == '\n' || *one == '\r')) {
        one++;
    }
    return one;
}

/* Find the string that begins here, without escapes, and return what follows it; NULL if there is none. */
static const char *
find_string(const char *one, const char *end, Span *span)
{
    if (one == end || *one != '"') {
        return NULL;
    }
    const char *start = one + 1, *quote = memchr(start, '"', end - start);
    if (quote == NULL) {
        return NULL;
    }
    unsigned char odd = 0, all = 0;
    for (one = start; one < quote; one++) {
        unsigned char byte = (unsigned char)*one;
        odd |= (byte < 0x20) | (byte == '\\');
        all |= byte;
    }
    *span = (Span){start, quote - start, all < 0x80};
    return odd ? NULL : quote + 1;
}

static int
is(const Span *span, const char *text, size_t size)
{
    return span->size == (Py_ssize_t)size && memcmp(span->start, text, size) == 0;
}

#define IS_TEXT(span, literal) is(span, literal, sizeof(literal) - 1)

static int
is_id(const Span *span)
{
    return span->size >= 1 && span->size <= LONGEST_ID && span->ascii;
}

int
read_send(const Buffer *buffer, SendFrame *frame)
{
    static const Span none = {NULL, -1, 1};
    const char *end = buffer->bytes + buffer->size, *one = skip_spaces(buffer->bytes, end);
    Span type = none, name;
    *frame = (SendFrame){none, none, none, none};
    for (char before = '{'; one < end && *one == before; before = ',') {
        one = find_string(skip_spaces(one + 1, end), end, &name);
        if (one == NULL) {
            return 0;
        }
        Span *field = IS_TEXT(&name, "type")   ? &type
                      : IS_TEXT(&name, "id")   ? &frame->id
                      : IS_TEXT(&name, "room") ? &frame->room
                      : IS_TEXT(&name, "text") ? &frame->text
                      : IS_TEXT(&name, "cid")  ? &frame->cid
                                               : NULL;
        one = skip_spaces(one, end);
        if (field == NULL || field->size >= 0 || one == end || *one != ':') {
            return 0;
        }
        one = skip_spaces(one + 1, end);
        if (field == &frame->cid && end - one >= 4 && memcmp(one, "null", 4) == 0) {
            one += 4;
        } else if ((one = find_string(one, end, field)) == NULL) {
            return 0;
        }
        one = skip_spaces(one, end);
    }
    return one < end && *one == '}' && skip_spaces(one + 1, end) == end && IS_TEXT(&type, "send") && is_id(&frame->id)
           && frame->room.size >= 0 && frame->text.size >= 0 && (frame->cid.size < 0 || is_id(&frame->cid));
}

PyObject *
read_string(const Span *span)
{
    if (!span->ascii) {
        return PyUnicode_DecodeUTF8(span->start, span->size, NULL);
    }
    PyObject *made = PyUnicode_New(span->size, 0x7F);
    if (made != NULL) {
        memcpy(PyUnicode_DATA(made), span->start, span->size);
    }
    return made;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

int
put_bytes(Buffer *buffer, const char *bytes, size_t size)
{
    char *to = room_for(buffer, size);
    if (to == NULL) {
        return 0;
    }
    memcpy(to, bytes, size);
    buffer->size += size;
    return 1;
}

static int
needs_escape(unsigned char byte)
{
    return (byte < 0x20) | (byte == '"') | (byte == '\\');
}

static size_t
escape(unsigned char byte, char *to)
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = byte < 0x20 ? letters[byte] : (char)byte;
    if (letter != 0) {
        to[0] = '\\';
        to[1] = letter;
        return 2;
    }
    memcpy(to, "\\u00", 4);
    to[4] = digits[byte >> 4];
    to[5] = digits[byte & 15];
    return 6;
}

static int
put_escaped(Buffer *buffer, const char *bytes, size_t size)
{
    char *first = room_for(buffer, 6 * size + 2), *to = first;
    if (to == NULL) {
        return 0;
    }
    int odd = 0;
    for (size_t i = 0; i < size; i++) {
        odd |= needs_escape((unsigned char)bytes[i]);
    }
    *to++ = '"';
    if (!odd) {
        memcpy(to, bytes, size);
        to += size;
    }
    for (size_t i = 0; odd && i < size; i++) {
        if (needs_escape((unsigned char)bytes[i])) {
            to += escape((unsigned char)bytes[i], to);
        } else {
            *to++ = bytes[i];
        }
    }
    *to++ = '"';
    buffer->size += to - first;
    return 1;
}

int
put_string(Buffer *buffer, PyObject *text)
{
    if (text == NULL || !PyUnicode_CheckExact(text)) {
        PyErr_SetString(PyExc_TypeError, "only a str can be put");
        return 0;
    }
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        return put_escaped(buffer, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text));
    }
    PyObject *bytes = PyUnicode_AsUTF8String(text);
    int done = bytes != NULL && put_escaped(buffer, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    Py_XDECREF(bytes);
    return done;
}

int
put_integer(Buffer *buffer, long long value)
{
    char digits[24], *to = digits + sizeof digits;
    unsigned long long rest = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    do {
        *--to = (char)('0' + rest % 10);
    } while ((rest /= 10) != 0);
    if (value < 0) {
        *--to = '-';
    }
    return put_bytes(buffer, to, digits + sizeof digits - to);
}

int
put_int(Buffer *buffer, PyObject *value)
{
    if (value == NULL || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "only an int can be put");
        return 0;
    }
    long long converted = PyLong_AsLongLong(value);
    return !(converted == -1 && PyErr_Occurred()) && put_integer(buffer, converted);
}

PyObject *
framed(const Buffer *buffer)
{
    unsigned char head[10] = {0x81};
    size_t size = buffer->size, length = 2;
    if (size < 126) {
        head[1] = (unsigned char)size;
    } else if (size < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(size >> 8);
        head[3] = (unsigned char)size;
        length = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++) {
            head[2 + i] = (unsigned char)((uint64_t)size >> (56 - 8 * i));
        }
        length = 10;
    }
    PyObject *made = PyBytes_FromStringAndSize(NULL, length + size);
    if (made != NULL) {
        memcpy(PyBytes_AS_STRING(made), head, length);
        memcpy(PyBytes_AS_STRING(made) + length, buffer->bytes, size);
    }
    return made;
}
