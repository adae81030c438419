/* The module: one type, FastPath, and two functions, write_members and write_readers. See __init__.py. */

#include "fastpath.h"

static int
fill(FastPath *self, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"state", "moderated",  "performer",   "fanout",        "stats",
                            "clock", "text_chars", "frame_bytes", "frame_seconds", NULL};
    const Objects *at = self->at;
    PyObject *state, *moderated, *performer, *fanout, *stats, *clock;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "$O!O!O!O!O!Onnd:FastPath", names, at->State, &state, &PySet_Type,
                                     &moderated, at->Performer, &performer, at->Fanout, &fanout, at->Stats, &stats,
                                     &clock, &self->text_chars, &self->frame_bytes, &self->frame_seconds)) {
        return -1;
    }
    self->state = Py_NewRef(state);
    self->moderated = Py_NewRef(moderated);
    self->performer = Py_NewRef(performer);
    self->fanout = Py_NewRef(fanout);
    self->stats = Py_NewRef(stats);
    self->clock = Py_NewRef(clock);
    return 0;
}

static PyObject *
FastPath_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    Objects *at = PyType_GetModuleState(type);
    if (at == NULL || find_objects(at) < 0) {
        return NULL;
    }
    FastPath *self = (FastPath *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->at = at;
        if (fill(self, arguments, named) < 0) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static int
FastPath_traverse(FastPath *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->state);
    Py_VISIT(self->moderated);
    Py_VISIT(self->performer);
    Py_VISIT(self->fanout);
    Py_VISIT(self->stats);
    Py_VISIT(self->clock);
    return 0;
}

static int
FastPath_clear(FastPath *self)
{
    Py_CLEAR(self->state);
    Py_CLEAR(self->moderated);
    Py_CLEAR(self->performer);
    Py_CLEAR(self->fanout);
    Py_CLEAR(self->stats);
    Py_CLEAR(self->clock);
    return 0;
}

static void
FastPath_dealloc(FastPath *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    FastPath_clear(self);
    PyMem_Free(self->buffer.bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
FastPath_receive(FastPath *self, PyObject *const *arguments, Py_ssize_t given)
{
    if (given != 2 || self->state == NULL) {
        PyErr_SetString(PyExc_TypeError, "receive(connection, data)");
        return NULL;
    }
    Answer answer = receive(self, arguments[0], arguments[1]);
    return answer == FAILED ? NULL : PyBool_FromLong(answer == PLAIN);
}

static PyObject *
FastPath_deliver(FastPath *self, PyObject *const *arguments, Py_ssize_t given)
{
    if (given != 3 || !PyFloat_CheckExact(arguments[2]) || self->state == NULL) {
        PyErr_SetString(PyExc_TypeError, "deliver(results, start: int, now: float)");
        return NULL;
    }
    PyObject *results = PySequence_Fast(arguments[0], "results must be a sequence");
    Py_ssize_t place = results == NULL ? -1 : PyLong_AsSsize_t(arguments[1]);
    if (results != NULL && place < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "start must not be negative");
    }
    Answer answer = place < 0 ? FAILED : PLAIN;
    while (answer == PLAIN && place < PySequence_Fast_GET_SIZE(results)) {
        PyObject *result = Py_NewRef(PySequence_Fast_GET_ITEM(results, place));
        self->looked_at = place;
        answer = deliver(self, result, arguments[2]);
        Py_DECREF(result);
        place += answer == PLAIN;
    }
    Py_XDECREF(results);
    return answer == FAILED ? NULL : PyLong_FromSsize_t(place);
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))FastPath_receive, METH_FASTCALL,
     "receive($self, connection, data, /)\n--\n\nTake what was read; False, and nothing changed, if it is not plain."},
    {"deliver", (PyCFunction)(void (*)(void))FastPath_deliver, METH_FASTCALL,
     "deliver($self, results, start, now, /)\n--\n\nShow and acknowledge; returns the first that is not plain."},
    {NULL, NULL, 0, NULL},
};

static PyObject *
looked_at(FastPath *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(self->looked_at);
}

static PyObject *
together(FastPath *self, void *closure)
{
    (void)self;
    (void)closure;
    return PyLong_FromLong(1);
}

static PyGetSetDef properties[] = {
    {"together", (getter)together, NULL, "How many results take the ordinary way together: one.", NULL},
    {"looked_at", (getter)looked_at, NULL, "The place of the result that `deliver` looked at last.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The fast path of one engine. See palaver.server.fastpath."},
    {Py_tp_new, FastPath_new},
    {Py_tp_traverse, FastPath_traverse},
    {Py_tp_clear, FastPath_clear},
    {Py_tp_dealloc, FastPath_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec specification = {
    .name = "palaver.server.fastpath._fastpath.FastPath",
    .basicsize = sizeof(FastPath),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

static PyObject *
write_members_of(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    Objects *at = PyModule_GetState(module);
    Py_ssize_t writes = 0, bytes = 0;
    if (given != 3 || !PyDict_CheckExact(arguments[0]) || !PyDict_CheckExact(arguments[1])
        || !PyBytes_CheckExact(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "write_members(members: dict, ahead: dict, chunk: bytes)");
        return NULL;
    }
    PyObject *others = find_objects(at) < 0 ? NULL : PyList_New(0);
    if (others == NULL) {
        return NULL;
    }
    if (write_members(at, arguments[0], arguments[1], arguments[2], others, &writes, &bytes) < 0) {
        Py_DECREF(others);
        return NULL;
    }
    return Py_BuildValue("Nnn", others, writes, bytes);
}

static PyObject *
write_readers_of(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    Objects *at = PyModule_GetState(module);
    if (given != 2 || !PyList_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "write_readers(readers: list, chunk: bytes)");
        return NULL;
    }
    int status = find_objects(at) < 0 ? -1 : write_readers(at, arguments[0], arguments[1]);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"write_members", (PyCFunction)(void (*)(void))write_members_of, METH_FASTCALL,
     "write_members(members, ahead, chunk, /)\n--\n\nAs palaver.server.fastpath.ordinary.write_members."},
    {"write_readers", (PyCFunction)(void (*)(void))write_readers_of, METH_FASTCALL,
     "write_readers(readers, chunk, /)\n--\n\nAs palaver.server.fastpath.ordinary.write_readers."},
    {NULL, NULL, 0, NULL},
};

static int
set_up(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &specification, NULL);
    int status = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return status;
}

static int
visit_module(PyObject *module, visitproc visit, void *arg)
{
    return visit_objects(PyModule_GetState(module), visit, arg);
}

static int
clear_module(PyObject *module)
{
    forget_objects(PyModule_GetState(module));
    return 0;
}

static void
free_module(void *module)
{
    clear_module(module);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, set_up}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "palaver.server.fastpath._fastpath",
    .m_doc = "The fast path of palaver.server.fastpath, compiled.",
    .m_size = sizeof(Objects),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = visit_module,
    .m_clear = clear_module,
    .m_free = free_module,
};

PyMODINIT_FUNC
PyInit__fastpath(void)
{
    return PyModuleDef_Init(&definition);
}
