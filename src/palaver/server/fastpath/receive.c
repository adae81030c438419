/* A plain message on its way in: from the bytes to the job for the log.

   The same in Python: Connection.data_received, Inbound.consume, Engine.receive, Conversation.send, Performer.perform. */

#include "fastpath.h"

#define ROUNDING 1e-9 /* palaver.chat.limits */

/* All that a message touches. What is borrowed from somebody is held as well, since clocks and checks are Python's. */
typedef struct {
    PyObject *now, *session, *user, *room, *pace;
    PyObject *times; /* NULL where nobody has a window */
    PyObject *id, *text, *cid;
    double on_at, frames, arrival; /* what the limits are with this message */
} Incoming;

static void
let_go(Incoming *message)
{
    Py_XDECREF(message->now);
    Py_XDECREF(message->session);
    Py_XDECREF(message->user);
    Py_XDECREF(message->room);
    Py_XDECREF(message->pace);
    Py_XDECREF(message->times);
    Py_XDECREF(message->id);
    Py_XDECREF(message->text);
    Py_XDECREF(message->cid);
}

/* Whether a frame may be taken as it comes. */
static int
is_listening(const FastPath *self, PyObject *connection)
{
    const Objects *at = self->at;
    return FIELD_OF(connection, Connection, _held) == Py_None && FIELD_OF(connection, Connection, _library) == Py_None
           && FIELD_OF(connection, Connection, _forgotten) == Py_False && FIELD_OF(connection, Connection, deaf) == Py_False
           && FIELD_OF(connection, Connection, closing) == Py_False && FIELD_OF(connection, Connection, _reading) == Py_True
           && FIELD_OF(self->performer, Performer, _performing) == Py_False;
}

/* The state of a bucket after one more event, or 0 if it is not allowed. No bucket allows all. */
static int
admits(const Objects *at, PyObject *bucket, PyObject *state, double now, double *after)
{
    double arrival, interval, tolerance;
    if (!read_float(state, &arrival)) {
        return 0;
    }
    if (bucket == Py_None) {
        *after = now;
        return arrival <= now;
    }
    if (!IS(bucket, Bucket) || !read_float(FIELD_OF(bucket, Bucket, interval), &interval)
        || !read_float(FIELD_OF(bucket, Bucket, _tolerance), &tolerance) || arrival - tolerance - now > ROUNDING) {
        return 0;
    }
    *after = (arrival > now ? arrival : now) + interval;
    return 1;
}

/* Whether the connection, and the session as a whole, may have one more frame now. */
static Answer
find_session(const FastPath *self, PyObject *connection, Incoming *message)
{
    const Objects *at = self->at;
    PyObject *session = find_in(FIELD_OF(self->state, State, sessions), connection), *person, *rights;
    double now, on_at;
    if (session == NULL) {
        return not_found();
    }
    message->session = Py_NewRef(session);
    if (!IS(session, Session) || FIELD_OF(session, Session, phase) != at->READY
        || FIELD_OF(session, Session, awaiting_since) != Py_None || !read_float(message->now, &now)
        || !read_float(FIELD_OF(connection, Connection, _on_at), &on_at)
        || !admits(at, FIELD_OF(self->state, State, frame_bucket), FIELD_OF(session, Session, frames), now,
                   &message->frames)) {
        return NOT_PLAIN;
    }
    if (self->frame_seconds > 0) {
        on_at = (on_at > now - 1.0 ? on_at : now - 1.0) + self->frame_seconds;
        if (on_at > now) {
            return NOT_PLAIN; /* reading is to be slowed down */
        }
    }
    message->on_at = on_at;
    person = FIELD_OF(session, Session, person);
    rights = FIELD_OF(session, Session, rights);
    if (!IS(person, Person) || !IS(rights, Rights) || FIELD_OF(rights, Rights, send) != at->EVERYWHERE) {
        return NOT_PLAIN;
    }
    message->user = Py_XNewRef(FIELD_OF(person, Person, user));
    return IS(message->user, User) ? PLAIN : NOT_PLAIN;
}

/* The room, if the session is in it and nothing was ever decided about it. */
static Answer
find_room(const FastPath *self, const SendFrame *frame, Incoming *message)
{
    const Objects *at = self->at;
    PyObject *name = read_string(&frame->room);
    if (name == NULL) {
        return FAILED;
    }
    message->room = Py_XNewRef(find_in(FIELD_OF(message->session, Session, rooms), name));
    Py_DECREF(name);
    if (message->room == NULL) {
        return not_found();
    }
    if (!IS(message->room, Room)) {
        return NOT_PLAIN;
    }
    int moderated = PySet_GET_SIZE(self->moderated) == 0
                        ? 0
                        : PySet_Contains(self->moderated, FIELD_OF(message->room, Room, name));
    return moderated < 0 ? FAILED : moderated ? NOT_PLAIN : PLAIN;
}

Answer
find_window(const FastPath *self, PyObject *user, PyObject **window, PyObject **times)
{
    const Objects *at = self->at;
    PyObject *windows = FIELD_OF(self->state, State, windows);
    *window = *times = NULL;
    if (windows == Py_None) {
        return PLAIN;
    }
    if (!IS(windows, UserWindows) || !IS(user, User)) {
        return NOT_PLAIN;
    }
    *window = find_in(FIELD_OF(windows, UserWindows, _windows), FIELD_OF(user, User, id));
    if (*window == NULL) {
        return not_found();
    }
    if (!IS(*window, SlidingWindow)) {
        return NOT_PLAIN;
    }
    *times = FIELD_OF(*window, SlidingWindow, _times);
    return IS(*times, deque) ? PLAIN : NOT_PLAIN;
}

/* What limits a message: the room's bucket and the user's window, where it has to have a place without waiting. */
static Answer
find_limits(const FastPath *self, Incoming *message)
{
    const Objects *at = self->at;
    PyObject *paces = FIELD_OF(self->state, State, paces), *window, *times;
    if (!IS(paces, RoomPaces)) {
        return NOT_PLAIN;
    }
    message->pace = Py_XNewRef(find_in(FIELD_OF(paces, RoomPaces, _paces), FIELD_OF(message->room, Room, name)));
    if (message->pace == NULL) {
        return not_found();
    }
    if (!IS(message->pace, Pace)
        || !admits(at, FIELD_OF(self->state, State, room_bucket), FIELD_OF(message->pace, Pace, arrival),
                   PyFloat_AS_DOUBLE(message->now), &message->arrival)) {
        return NOT_PLAIN;
    }
    Answer answer = find_window(self, message->user, &window, &times);
    if (answer != PLAIN || window == NULL) {
        return answer;
    }
    message->times = Py_NewRef(times);
    Py_ssize_t limit = PyLong_AsSsize_t(FIELD_OF(window, SlidingWindow, _limit)), taken = PyObject_Size(times);
    return PyErr_Occurred() ? FAILED : taken < limit ? PLAIN : NOT_PLAIN;
}

/* Whether names.text_problem has nothing against a text, which is no command either. */
static Answer
is_good(const FastPath *self, const Span *span, PyObject *text)
{
    if (span->size == 0 || span->start[0] == '/') {
        return NOT_PLAIN;
    }
    if (span->ascii) {
        int odd = 0, seen = 0;
        for (Py_ssize_t i = 0; i < span->size; i++) {
            odd |= span->start[i] == 0x7F;
            seen |= span->start[i] != ' ';
        }
        return !odd && seen && span->size <= self->text_chars ? PLAIN : NOT_PLAIN;
    }
    PyObject *limit = PyLong_FromSsize_t(self->text_chars), *problem = NULL;
    if (limit != NULL) {
        problem = PyObject_CallFunctionObjArgs(self->at->text_problem, text, limit, NULL);
        Py_DECREF(limit);
    }
    Answer answer = problem == NULL ? FAILED : problem == Py_None ? PLAIN : NOT_PLAIN;
    Py_XDECREF(problem);
    return answer;
}

static Answer
look_at(const FastPath *self, PyObject *connection, const SendFrame *frame, Incoming *message)
{
    Answer answer = find_session(self, connection, message);
    if (answer != PLAIN || (answer = find_room(self, frame, message)) != PLAIN
        || (answer = find_limits(self, message)) != PLAIN) {
        return answer;
    }
    message->id = read_string(&frame->id);
    message->text = read_string(&frame->text);
    message->cid = frame->cid.size < 0 ? Py_NewRef(Py_None) : read_string(&frame->cid);
    if (message->id == NULL || message->text == NULL || message->cid == NULL) {
        return FAILED;
    }
    return is_good(self, &frame->text, message->text);
}

/* The id of the next message; what is counted for one that fails afterwards is a gap, which nobody minds. */
static PyObject *
next_id(const FastPath *self)
{
    const Objects *at = self->at;
    PyObject *ids = FIELD_OF(self->state, State, message_ids);
    if (!IS(ids, MessageIds)) {
        PyErr_SetString(PyExc_TypeError, "State.message_ids are no MessageIds");
        return NULL;
    }
    if (add_to_field(&FIELD_OF(ids, MessageIds, _count), 1) < 0) {
        return NULL;
    }
    return PyUnicode_FromFormat("%U%S", FIELD_OF(ids, MessageIds, _prefix), FIELD_OF(ids, MessageIds, _count));
}

static PyObject *
make_job(const FastPath *self, PyObject *connection, const Incoming *message)
{
    const Objects *at = self->at;
    double wall, now = PyFloat_AS_DOUBLE(message->now);
    PyObject *time = NULL, *mid = NULL, *job = NULL;
    if (!read_float(FIELD_OF(self->state, State, wall), &wall)) {
        PyErr_SetString(PyExc_TypeError, "State.wall is no float");
    } else if ((time = PyLong_FromDouble((now + wall) * 1000)) != NULL && (mid = next_id(self)) != NULL) {
        PyObject *const fields[] = {
            connection,   message->id,  FIELD_OF(message->room, Room, name), message->user, message->text,
            message->cid, mid,          time,                                Py_False,      message->now,
        };
        job = PyObject_Vectorcall((PyObject *)at->Append, fields, Py_ARRAY_LENGTH(fields), NULL);
    }
    Py_XDECREF(time);
    Py_XDECREF(mid);
    return job;
}

static int
take_place(const Objects *at, const Incoming *message)
{
    if (message->times == NULL) {
        return 0;
    }
    PyObject *done = PyObject_CallMethodOneArg(message->times, at->append, message->now);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Count a message, take what it takes of the limits, and give its job away. */
static Answer
accept_message(FastPath *self, PyObject *connection, const Incoming *message, Py_ssize_t bytes)
{
    const Objects *at = self->at;
    PyObject *job = make_job(self, connection, message), *on_at = PyFloat_FromDouble(message->on_at);
    PyObject *frames = PyFloat_FromDouble(message->frames), *arrival = PyFloat_FromDouble(message->arrival);
    Answer answer = FAILED;
    if (job != NULL && on_at != NULL && frames != NULL && arrival != NULL
        && add_to_field(&FIELD_OF(self->stats, Stats, bytes_in), bytes) == 0
        && add_to_field(&FIELD_OF(self->stats, Stats, text_in), 1) == 0
        && add_to_field(&FIELD_OF(self->stats, Stats, fast_in), 1) == 0
        && count_in(FIELD_OF(self->state, State, requests), at->SendRequest) == 0 && take_place(at, message) == 0
        && PyList_Append(FIELD_OF(self->performer, Performer, _jobs), job) == 0) {
        set_field(&FIELD_OF(connection, Connection, _on_at), Py_NewRef(on_at));
        set_field(&FIELD_OF(message->session, Session, frames), Py_NewRef(frames));
        set_field(&FIELD_OF(message->session, Session, last_in), Py_NewRef(message->now));
        set_field(&FIELD_OF(message->pace, Pace, arrival), Py_NewRef(arrival));
        answer = PLAIN;
    }
    Py_XDECREF(job);
    Py_XDECREF(on_at);
    Py_XDECREF(frames);
    Py_XDECREF(arrival);
    if (answer == PLAIN && FIELD_OF(self->performer, Performer, _turn_ends) == Py_False) {
        PyObject *begun = PyObject_CallMethod(self->performer, "begin_turn", NULL);
        answer = begun == NULL ? FAILED : PLAIN;
        Py_XDECREF(begun);
    }
    return answer;
}

Answer
receive(FastPath *self, PyObject *connection, PyObject *data)
{
    const Objects *at = self->at;
    SendFrame frame;
    Incoming message = {0};
    if (!IS(connection, Connection) || !PyBytes_CheckExact(data) || !is_listening(self, connection)) {
        return NOT_PLAIN;
    }
    int whole = unmask(&self->buffer, (unsigned char *)PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), self->frame_bytes);
    if (whole <= 0) {
        return whole < 0 ? FAILED : NOT_PLAIN;
    }
    if (!read_send(&self->buffer, &frame)) {
        return NOT_PLAIN;
    }
    Answer answer = FAILED;
    message.now = PyObject_CallNoArgs(self->clock);
    if (message.now != NULL) {
        answer = look_at(self, connection, &frame, &message);
    }
    if (answer == FAILED && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear(); /* what to say about it is known elsewhere */
        answer = NOT_PLAIN;
    }
    if (answer == PLAIN) {
        answer = accept_message(self, connection, &message, PyBytes_GET_SIZE(data));
    }
    let_go(&message);
    return answer;
}
