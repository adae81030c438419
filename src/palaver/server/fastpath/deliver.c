/* A plain message on its way out: from the log's answer to the bytes for its room and for its sender.

   The same in Python: Conversation.stored, Performer.perform, Fanout.broadcast, Fanout.acknowledge. */

#include "fastpath.h"

#include <math.h>

/* All that an answer touches; borrowed from the answer, and from dicts that nothing changes before it is shown. */
typedef struct {
    PyObject *result, *job, *user, *room, *ring, *session, *connection;
    PyObject *window, *times; /* NULL where nobody has one */
    PyObject *readers;        /* the room in the fan-out */
} Outgoing;

static Answer
find_places(const FastPath *self, PyObject *result, Outgoing *message)
{
    const Objects *at = self->at;
    PyObject *job = FIELD_OF(result, Stored, job);
    if (FIELD_OF(result, Stored, duplicate) != Py_False || !IS(job, Append)
        || FIELD_OF(job, Append, command) != Py_False) {
        return NOT_PLAIN;
    }
    PyObject *name = FIELD_OF(job, Append, room);
    message->result = result;
    message->job = job;
    message->user = FIELD_OF(job, Append, user);
    message->connection = FIELD_OF(job, Append, connection);
    message->room = find_in(FIELD_OF(self->state, State, rooms), name);
    message->session = message->room == NULL ? NULL : find_in(FIELD_OF(self->state, State, sessions), message->connection);
    message->readers = message->session == NULL ? NULL : find_in(FIELD_OF(self->fanout, Fanout, _rooms), name);
    if (message->readers == NULL) {
        return not_found();
    }
    return find_window(self, message->user, &message->window, &message->times);
}

/* Whether the message is the room's next, is for people who keep up, and its sender is there. */
static Answer
is_plain(const FastPath *self, Outgoing *message)
{
    const Objects *at = self->at;
    PyObject *connection = message->connection;
    if (!IS(message->user, User) || !IS(message->room, Room)
        || FIELD_OF(message->room, Room, state) == at->LOADING || !IS(message->session, Session)
        || !IS(message->readers, FanoutRoom) || FIELD_OF(message->readers, FanoutRoom, backlog) != Py_None
        || !PyDict_CheckExact(FIELD_OF(message->readers, FanoutRoom, members))
        || PyDict_GET_SIZE(FIELD_OF(message->readers, FanoutRoom, members)) == 0 || !IS(connection, Connection)
        || FIELD_OF(connection, Connection, closing) != Py_False
        || FIELD_OF(self->performer, Performer, _performing) != Py_False) {
        return NOT_PLAIN;
    }
    message->ring = FIELD_OF(message->room, Room, ring);
    if (!IS(message->ring, Ring) || !IS(FIELD_OF(message->ring, Ring, _kept), deque)) {
        return NOT_PLAIN;
    }
    long long last = PyLong_AsLongLong(FIELD_OF(message->ring, Ring, seq));
    long long seq = PyLong_AsLongLong(FIELD_OF(message->result, Stored, seq));
    return PyErr_Occurred() ? FAILED : seq == last + 1 ? PLAIN : NOT_PLAIN;
}

/* ---- what is written ---------------------------------------------------------------------------------------------- */

/* palaver.chat.records.Message */
static int
put_message(const FastPath *self, Buffer *to, const Outgoing *message)
{
    const Objects *at = self->at;
    PyObject *job = message->job, *result = message->result, *user = message->user, *cid = FIELD_OF(job, Append, cid);
    to->size = 0;
    return PUT(to, "{\"type\":\"message\",\"room\":") && put_string(to, FIELD_OF(job, Append, room))
           && PUT(to, ",\"seq\":") && put_int(to, FIELD_OF(result, Stored, seq)) && PUT(to, ",\"epoch\":")
           && put_string(to, FIELD_OF(self->state, State, epoch)) && PUT(to, ",\"mid\":")
           && put_string(to, FIELD_OF(result, Stored, mid)) && PUT(to, ",\"time\":")
           && put_int(to, FIELD_OF(result, Stored, time)) && PUT(to, ",\"user\":{\"id\":")
           && put_string(to, FIELD_OF(user, User, id)) && PUT(to, ",\"name\":")
           && put_string(to, FIELD_OF(user, User, name)) && PUT(to, "},\"text\":")
           && put_string(to, FIELD_OF(job, Append, text)) && PUT(to, ",\"cid\":")
           && (cid == Py_None ? PUT(to, "null}") : put_string(to, cid) && PUT(to, "}"));
}

/* SlidingWindow.standing, and milliseconds rounded up. Returns 0 with an exception. */
static int
find_standing(const Objects *at, const Outgoing *message, double now, long long *remaining, long long *reset_ms)
{
    double seconds, taken = 0;
    Py_ssize_t size;
    if (!read_float(FIELD_OF(message->window, SlidingWindow, _seconds), &seconds)) {
        PyErr_SetString(PyExc_TypeError, "SlidingWindow._seconds is no float");
        return 0;
    }
    while ((size = PyObject_Size(message->times)) > 0) {
        PyObject *oldest = PySequence_GetItem(message->times, 0);
        int counts = read_float(oldest, &taken) && taken + seconds > now;
        Py_XDECREF(oldest);
        if (counts) {
            break;
        }
        PyObject *forgotten = PyObject_CallMethodNoArgs(message->times, at->popleft);
        if (forgotten == NULL) {
            return 0;
        }
        Py_DECREF(forgotten);
    }
    *remaining = PyLong_AsLongLong(FIELD_OF(message->window, SlidingWindow, _limit)) - size;
    *reset_ms = 0;
    if (size > 0) {
        PyObject *newest = PySequence_GetItem(message->times, size - 1);
        if (read_float(newest, &taken)) {
            *reset_ms = (long long)ceil((taken + seconds - now) * 1000);
        }
        Py_XDECREF(newest);
    }
    return !PyErr_Occurred();
}

/* palaver.chat.replies.SendAck */
static int
put_ack(const FastPath *self, Buffer *to, const Outgoing *message, double now)
{
    const Objects *at = self->at;
    PyObject *job = message->job, *result = message->result;
    long long remaining, reset_ms;
    to->size = 0;
    if (!(PUT(to, "{\"type\":\"ack\",\"re\":") && put_string(to, FIELD_OF(job, Append, re)) && PUT(to, ",\"room\":")
          && put_string(to, FIELD_OF(job, Append, room)) && PUT(to, ",\"seq\":")
          && put_int(to, FIELD_OF(result, Stored, seq)) && PUT(to, ",\"epoch\":")
          && put_string(to, FIELD_OF(self->state, State, epoch)) && PUT(to, ",\"mid\":")
          && put_string(to, FIELD_OF(result, Stored, mid)) && PUT(to, ",\"time\":")
          && put_int(to, FIELD_OF(result, Stored, time)) && PUT(to, ",\"duplicate\":false,\"durability\":")
          && put_string(to, FIELD_OF(self->state, State, durability)) && PUT(to, ",\"rate\":"))) {
        return 0;
    }
    if (message->window == NULL) {
        return PUT(to, "null}");
    }
    return find_standing(at, message, now, &remaining, &reset_ms) && PUT(to, "{\"remaining\":")
           && put_integer(to, remaining) && PUT(to, ",\"reset_ms\":") && put_integer(to, reset_ms) && PUT(to, "}}");
}

/* ---- where it goes ------------------------------------------------------------------------------------------------ */

/* Ring.append */
static int
keep(const Objects *at, const Outgoing *message, PyObject *frame)
{
    PyObject *seq = FIELD_OF(message->result, Stored, seq), *time = FIELD_OF(message->result, Stored, time);
    PyObject *const fields[] = {seq, time, frame};
    PyObject *kept = PyObject_Vectorcall((PyObject *)at->Kept, fields, Py_ARRAY_LENGTH(fields), NULL), *done = NULL;
    if (kept != NULL) {
        done = PyObject_CallMethodOneArg(FIELD_OF(message->ring, Ring, _kept), at->append, kept);
        Py_DECREF(kept);
    }
    if (done == NULL) {
        return -1;
    }
    Py_DECREF(done);
    set_field(&FIELD_OF(message->ring, Ring, _newest), Py_NewRef(Py_None));
    set_field(&FIELD_OF(message->ring, Ring, seq), Py_NewRef(seq));
    return 0;
}

/* Fanout.broadcast */
static int
broadcast(const FastPath *self, const Outgoing *message, PyObject *frame)
{
    const Objects *at = self->at;
    PyObject *room = message->readers, *pending = Py_NewRef(FIELD_OF(room, FanoutRoom, pending));
    int status = 0;
    if (PyList_GET_SIZE(pending) == 0 && FIELD_OF(room, FanoutRoom, slices) == Py_None) {
        PyObject *done = PyObject_CallMethod(self->fanout, "due", "O", room);
        status = done == NULL ? -1 : 0;
        Py_XDECREF(done);
    }
    if (status == 0) {
        status = PyList_Append(pending, frame);
    }
    Py_DECREF(pending);
    return status;
}

/* Fanout.acknowledge */
static int
acknowledge(const FastPath *self, PyObject *connection, PyObject *ack)
{
    const Objects *at = self->at;
    PyObject *acks = FIELD_OF(connection, Connection, acks), *rooms = FIELD_OF(connection, Connection, rooms);
    PyObject *room = PyTuple_CheckExact(rooms) && PyTuple_GET_SIZE(rooms) == 1 ? PyTuple_GET_ITEM(rooms, 0) : NULL;
    if (acks == Py_None && IS(room, FanoutRoom) && PyList_GET_SIZE(FIELD_OF(room, FanoutRoom, pending)) > 0
        && FIELD_OF(room, FanoutRoom, slices) == Py_None && FIELD_OF(room, FanoutRoom, backlog) == Py_None) {
        if (PyList_Append(FIELD_OF(self->fanout, Fanout, _acknowledged), connection) < 0) {
            return -1;
        }
        set_field(&FIELD_OF(connection, Connection, acks), Py_NewRef(ack));
        return 0;
    }
    PyObject *done = PyObject_CallMethod(self->fanout, "acknowledge", "OO", connection, ack);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static Answer
show(FastPath *self, const Outgoing *message, PyObject *now)
{
    const Objects *at = self->at;
    Buffer *buffer = &self->buffer;
    PyObject *plain = NULL, *frame = NULL, *ack = NULL;
    Answer answer = FAILED;
    if (put_message(self, buffer, message)) {
        plain = PyBytes_FromStringAndSize(buffer->bytes, buffer->size);
        frame = framed(buffer);
    }
    if (plain != NULL && frame != NULL && put_ack(self, buffer, message, PyFloat_AS_DOUBLE(now))) {
        ack = framed(buffer);
    }
    if (ack != NULL && count_in(FIELD_OF(self->state, State, sends), at->stored) == 0
        && count_in(FIELD_OF(self->state, State, frames), (PyObject *)at->Message) == 0
        && count_in(FIELD_OF(self->state, State, frames), (PyObject *)at->SendAck) == 0
        && add_to_field(&FIELD_OF(self->stats, Stats, broadcasts), 1) == 0 && keep(at, message, plain) == 0) {
        set_field(&FIELD_OF(message->room, Room, last_broadcast), Py_NewRef(now));
        set_field(&FIELD_OF(message->session, Session, last_out), Py_NewRef(now));
        if (broadcast(self, message, frame) == 0 && acknowledge(self, message->connection, ack) == 0) {
            answer = PLAIN;
        }
    }
    Py_XDECREF(plain);
    Py_XDECREF(frame);
    Py_XDECREF(ack);
    return answer;
}

Answer
deliver(FastPath *self, PyObject *result, PyObject *now)
{
    const Objects *at = self->at;
    Outgoing message = {0};
    if (!IS(result, Stored)) {
        return NOT_PLAIN;
    }
    Answer answer = find_places(self, result, &message);
    if (answer != PLAIN || (answer = is_plain(self, &message)) != PLAIN) {
        return answer;
    }
    return show(self, &message, now);
}
