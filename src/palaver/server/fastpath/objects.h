/* Our own classes as C sees them: which they are, and where in their objects the fields lie that the fast path uses.

   The tables below name every class and every field. `find_objects` looks them up once and fails for a field that is no
   slot, so a change in Python that does not fit is an error at the start and not a wrong byte later. Of an object, only
   the exact class counts: nothing is read from a subclass. */

#ifndef PALAVER_OBJECTS_H
#define PALAVER_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define CLASSES(CLASS)                                                                                                 \
    CLASS(Append, "palaver.chat.effects")                                                                              \
    CLASS(Bucket, "palaver.chat.limits")                                                                               \
    CLASS(Connection, "palaver.server.connection")                                                                     \
    CLASS(Fanout, "palaver.server.fanout")                                                                             \
    CLASS(FanoutRoom, "palaver.server.fanout_room")                                                                    \
    CLASS(Kept, "palaver.chat.rooms")                                                                                  \
    CLASS(Message, "palaver.chat.records")                                                                             \
    CLASS(MessageIds, "palaver.chat.message_ids")                                                                      \
    CLASS(Pace, "palaver.chat.limits")                                                                                 \
    CLASS(Performer, "palaver.server.performer")                                                                       \
    CLASS(Person, "palaver.chat.people")                                                                               \
    CLASS(Rights, "palaver.chat.rights")                                                                               \
    CLASS(Ring, "palaver.chat.rooms")                                                                                  \
    CLASS(Room, "palaver.chat.rooms")                                                                                  \
    CLASS(RoomPaces, "palaver.chat.limits")                                                                            \
    CLASS(SendAck, "palaver.chat.replies")                                                                             \
    CLASS(Session, "palaver.chat.session")                                                                             \
    CLASS(SlidingWindow, "palaver.chat.limits")                                                                        \
    CLASS(State, "palaver.chat.state")                                                                                 \
    CLASS(Stats, "palaver.server.stats")                                                                               \
    CLASS(Stored, "palaver.chat.effects")                                                                              \
    CLASS(User, "palaver.chat.records")                                                                                \
    CLASS(UserWindows, "palaver.chat.limits")                                                                          \
    CLASS(deque, "collections")

#define FIELDS(FIELD)                                                                                                  \
    FIELD(Append, cid)                                                                                                 \
    FIELD(Append, command)                                                                                             \
    FIELD(Append, connection)                                                                                          \
    FIELD(Append, re)                                                                                                  \
    FIELD(Append, room)                                                                                                \
    FIELD(Append, text)                                                                                                \
    FIELD(Append, user)                                                                                                \
    FIELD(Bucket, _tolerance)                                                                                          \
    FIELD(Bucket, interval)                                                                                            \
    FIELD(Connection, _forgotten)                                                                                      \
    FIELD(Connection, _held)                                                                                           \
    FIELD(Connection, _library)                                                                                        \
    FIELD(Connection, _on_at)                                                                                          \
    FIELD(Connection, _reading)                                                                                        \
    FIELD(Connection, acks)                                                                                            \
    FIELD(Connection, closing)                                                                                         \
    FIELD(Connection, deaf)                                                                                            \
    FIELD(Connection, descriptor)                                                                                      \
    FIELD(Connection, handed)                                                                                          \
    FIELD(Connection, out)                                                                                             \
    FIELD(Connection, rooms)                                                                                           \
    FIELD(Connection, write)                                                                                           \
    FIELD(Fanout, _acknowledged)                                                                                       \
    FIELD(Fanout, _rooms)                                                                                              \
    FIELD(FanoutRoom, backlog)                                                                                         \
    FIELD(FanoutRoom, members)                                                                                         \
    FIELD(FanoutRoom, pending)                                                                                         \
    FIELD(FanoutRoom, slices)                                                                                          \
    FIELD(MessageIds, _count)                                                                                          \
    FIELD(MessageIds, _prefix)                                                                                         \
    FIELD(Pace, arrival)                                                                                               \
    FIELD(Performer, _jobs)                                                                                            \
    FIELD(Performer, _performing)                                                                                      \
    FIELD(Performer, _turn_ends)                                                                                       \
    FIELD(Person, user)                                                                                                \
    FIELD(Rights, send)                                                                                                \
    FIELD(Ring, _kept)                                                                                                 \
    FIELD(Ring, _newest)                                                                                               \
    FIELD(Ring, seq)                                                                                                   \
    FIELD(Room, last_broadcast)                                                                                        \
    FIELD(Room, name)                                                                                                  \
    FIELD(Room, ring)                                                                                                  \
    FIELD(Room, state)                                                                                                 \
    FIELD(RoomPaces, _paces)                                                                                           \
    FIELD(Session, awaiting_since)                                                                                     \
    FIELD(Session, frames)                                                                                             \
    FIELD(Session, last_in)                                                                                            \
    FIELD(Session, last_out)                                                                                           \
    FIELD(Session, person)                                                                                             \
    FIELD(Session, phase)                                                                                              \
    FIELD(Session, rights)                                                                                             \
    FIELD(Session, rooms)                                                                                              \
    FIELD(SlidingWindow, _limit)                                                                                       \
    FIELD(SlidingWindow, _seconds)                                                                                     \
    FIELD(SlidingWindow, _times)                                                                                       \
    FIELD(State, durability)                                                                                           \
    FIELD(State, epoch)                                                                                                \
    FIELD(State, frame_bucket)                                                                                         \
    FIELD(State, frames)                                                                                               \
    FIELD(State, message_ids)                                                                                          \
    FIELD(State, paces)                                                                                                \
    FIELD(State, requests)                                                                                             \
    FIELD(State, room_bucket)                                                                                          \
    FIELD(State, rooms)                                                                                                \
    FIELD(State, sends)                                                                                                \
    FIELD(State, sessions)                                                                                             \
    FIELD(State, wall)                                                                                                 \
    FIELD(State, windows)                                                                                              \
    FIELD(Stats, broadcasts)                                                                                           \
    FIELD(Stats, bytes_in)                                                                                             \
    FIELD(Stats, fast_in)                                                                                              \
    FIELD(Stats, text_in)                                                                                              \
    FIELD(Stored, duplicate)                                                                                           \
    FIELD(Stored, job)                                                                                                 \
    FIELD(Stored, mid)                                                                                                 \
    FIELD(Stored, seq)                                                                                                 \
    FIELD(Stored, time)                                                                                                \
    FIELD(User, id)                                                                                                    \
    FIELD(User, name)                                                                                                  \
    FIELD(UserWindows, _windows)

/* Single objects that are compared with or called. */
#define CONSTANTS(CONSTANT)                                                                                            \
    CONSTANT(EVERYWHERE, "palaver.chat.rights", "EVERYWHERE")                                                          \
    CONSTANT(LOADING, "palaver.chat.rooms", "Loading.LOADING")                                                         \
    CONSTANT(READY, "palaver.chat.session", "Phase.READY")                                                             \
    CONSTANT(SendRequest, "palaver.chat.requests", "Send")                                                             \
    CONSTANT(text_problem, "palaver.chat.names", "text_problem")

typedef struct {
    int found;
#define CLASS(name, module) PyTypeObject *name;
    CLASSES(CLASS)
#undef CLASS
#define FIELD(class, name) Py_ssize_t class##_##name;
    FIELDS(FIELD)
#undef FIELD
#define CONSTANT(name, module, path) PyObject *name;
    CONSTANTS(CONSTANT)
#undef CONSTANT
    PyObject *append, *buffered, *popleft, *stored; /* names */
} Objects;

/* A field of an object that is of that class; borrowed, NULL if it was never set. A variable `at` is the Objects. */
#define FIELD_OF(object, class, name) (*(PyObject **)((char *)(object) + at->class##_##name))
#define IS(object, class) ((object) != NULL && Py_TYPE(object) == at->class)

/* What each step of the fast path says: an exception is set, or the ordinary way has to be taken, or all is well. */
typedef enum { FAILED = -1, NOT_PLAIN = 0, PLAIN = 1 } Answer;

/* Look everything up, unless that is done. Returns -1 with an exception. */
int find_objects(Objects *at);
void forget_objects(Objects *at);
int visit_objects(Objects *at, visitproc visit, void *arg);

/* Give a field another value, which is taken over. */
void set_field(PyObject **field, PyObject *value);
/* Add to a field that counts. Returns -1 with an exception. */
int add_to_field(PyObject **field, long long more);
/* Add one to what a dict counts under a key. Returns -1 with an exception. */
int count_in(PyObject *dict, PyObject *key);
/* What a dict has under a key, borrowed; NULL with or without an exception. */
PyObject *find_in(PyObject *dict, PyObject *key);
/* Why nothing was found. */
Answer not_found(void);
/* The value of a float; 0 if it is none. */
int read_float(PyObject *object, double *value);

#endif
