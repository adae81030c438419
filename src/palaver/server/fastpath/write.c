/* One chunk to many connections, straight to the sockets.

   The same in Python: palaver.server.fastpath.ordinary, which gives all of it to the transports. Here it goes to the socket
   itself while nothing waits in the transport, which gets what the kernel does not take. That is safe while the connection
   is a member of a room: its transport closes the socket only after `connection_lost`, which takes it out. */

#include "fastpath.h"

#include <sys/socket.h>
#include <sys/uio.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

/* Whether the transport may still have bytes of this connection: 1, 0, or -1 with an exception. */
static int
waits(const Objects *at, PyObject *reader)
{
    if (FIELD_OF(reader, Connection, handed) == Py_False) {
        return 0;
    }
    PyObject *buffered = PyObject_GetAttr(reader, at->buffered);
    if (buffered == NULL) {
        return -1;
    }
    int waiting = PyObject_IsTrue(buffered);
    Py_DECREF(buffered);
    if (waiting == 0) {
        set_field(&FIELD_OF(reader, Connection, handed), Py_NewRef(Py_False));
    }
    return waiting;
}

/* How many bytes the kernel took; none where it is not for us to ask, or where it says no. */
static Py_ssize_t
send_now(const Objects *at, PyObject *reader, PyObject *chunk, PyObject *acks)
{
    long descriptor = PyLong_AsLong(FIELD_OF(reader, Connection, descriptor));
    struct iovec parts[2] = {{PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk)}, {NULL, 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    if (acks != Py_None) {
        parts[1] = (struct iovec){PyBytes_AS_STRING(acks), PyBytes_GET_SIZE(acks)};
        message.msg_iovlen = 2;
    }
    ssize_t sent = descriptor < 0 ? -1 : sendmsg((int)descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? 0 : sent;
}

/* Give the transport what is left. */
static int
hand_over(const Objects *at, PyObject *reader, PyObject *chunk, PyObject *acks, Py_ssize_t sent)
{
    PyObject *rest = Py_NewRef(chunk), *done = NULL;
    if (acks != Py_None) {
        PyBytes_Concat(&rest, acks);
    }
    if (rest != NULL && sent > 0) {
        Py_SETREF(rest, PyBytes_FromStringAndSize(PyBytes_AS_STRING(rest) + sent, PyBytes_GET_SIZE(rest) - sent));
    }
    if (rest != NULL) {
        set_field(&FIELD_OF(reader, Connection, handed), Py_NewRef(Py_True));
        done = PyObject_CallOneArg(FIELD_OF(reader, Connection, write), rest);
        Py_DECREF(rest);
    }
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Write a chunk to one connection, and its acks behind it where there are any. */
static int
write_to(const Objects *at, PyObject *reader, PyObject *chunk, PyObject *acks, Py_ssize_t *bytes)
{
    Py_ssize_t sent = 0, size = PyBytes_GET_SIZE(chunk) + (acks == Py_None ? 0 : PyBytes_GET_SIZE(acks));
    int waiting = waits(at, reader);
    if (waiting < 0) {
        return -1;
    }
    if (!waiting) {
        sent = send_now(at, reader, chunk, acks);
    }
    *bytes += size;
    return sent < size ? hand_over(at, reader, chunk, acks, sent) : 0;
}

/* Whether a member gets this chunk and nothing else before it. */
static int
gets_only_this(const Objects *at, PyObject *reader, PyObject *ahead)
{
    if (!IS(reader, Connection) || FIELD_OF(reader, Connection, out) != Py_None
        || PyTuple_GET_SIZE(FIELD_OF(reader, Connection, rooms)) != 1) {
        return 0;
    }
    return PyDict_GET_SIZE(ahead) == 0 ? 1 : !PyDict_Contains(ahead, reader);
}

int
write_members(const Objects *at, PyObject *members, PyObject *ahead, PyObject *chunk, PyObject *others,
              Py_ssize_t *writes, Py_ssize_t *bytes)
{
    PyObject *readers = PySequence_List(members); /* our own: a transport may tell of a full buffer while it is given bytes */
    int status = readers == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyList_GET_SIZE(readers); i++) {
        PyObject *reader = PyList_GET_ITEM(readers, i);
        if (gets_only_this(at, reader, ahead)) {
            *writes += 1;
            PyObject *acks = FIELD_OF(reader, Connection, acks);
            FIELD_OF(reader, Connection, acks) = Py_NewRef(Py_None);
            status = write_to(at, reader, chunk, acks, bytes);
            Py_DECREF(acks);
        } else {
            status = PyList_Append(others, reader);
        }
    }
    Py_XDECREF(readers);
    return status;
}

int
write_readers(const Objects *at, PyObject *readers, PyObject *chunk)
{
    Py_ssize_t bytes = 0;
    int status = 0;
    for (Py_ssize_t i = 0; status == 0 && i < PyList_GET_SIZE(readers); i++) {
        PyObject *reader = Py_NewRef(PyList_GET_ITEM(readers, i));
        if (IS(reader, Connection)) {
            status = write_to(at, reader, chunk, Py_None, &bytes);
        } else {
            PyErr_SetString(PyExc_TypeError, "only connections can be written to");
            status = -1;
        }
        Py_DECREF(reader);
    }
    return status;
}
