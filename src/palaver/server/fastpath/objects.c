/* Looks up our own classes and their fields; see objects.h. */

#include "objects.h"

#include <string.h>
#include <structmember.h>

static PyObject *
imported(const char *module, const char *path)
{
    PyObject *found = PyImport_ImportModule(module);
    while (found != NULL && path != NULL) {
        const char *dot = strchr(path, '.');
        PyObject *name = dot == NULL ? PyUnicode_FromString(path) : PyUnicode_FromStringAndSize(path, dot - path);
        PyObject *next = name == NULL ? NULL : PyObject_GetAttr(found, name);
        Py_XDECREF(name);
        Py_SETREF(found, next);
        path = dot == NULL ? NULL : dot + 1;
    }
    return found;
}

static PyTypeObject *
class_named(const char *module, const char *name)
{
    PyObject *class = imported(module, name);
    if (class != NULL && !PyType_Check(class)) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no class", module, name);
        Py_CLEAR(class);
    }
    return (PyTypeObject *)class;
}

/* Where a slot lies in the objects of a class; -1 with an exception if it is none. */
static Py_ssize_t
offset_of(PyTypeObject *class, const char *name)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)class, name);
    Py_ssize_t offset = -1;
    if (found != NULL && Py_TYPE(found) == &PyMemberDescr_Type) {
        PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        if (member->type == T_OBJECT_EX) {
            offset = member->offset;
        }
    }
    if (found != NULL && offset < 0) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", class->tp_name, name);
    }
    Py_XDECREF(found);
    return offset;
}

int
find_objects(Objects *at)
{
    if (at->found) {
        return 0;
    }
    forget_objects(at); /* what an earlier try may have found */
#define CLASS(name, module)                                                                                            \
    if ((at->name = class_named(module, #name)) == NULL) {                                                             \
        return -1;                                                                                                     \
    }
    CLASSES(CLASS)
#undef CLASS
#define FIELD(class, name)                                                                                             \
    if ((at->class##_##name = offset_of(at->class, #name)) < 0) {                                                      \
        return -1;                                                                                                     \
    }
    FIELDS(FIELD)
#undef FIELD
#define CONSTANT(name, module, path)                                                                                   \
    if ((at->name = imported(module, path)) == NULL) {                                                                 \
        return -1;                                                                                                     \
    }
    CONSTANTS(CONSTANT)
#undef CONSTANT
    if ((at->append = PyUnicode_InternFromString("append")) == NULL
        || (at->buffered = PyUnicode_InternFromString("buffered")) == NULL
        || (at->popleft = PyUnicode_InternFromString("popleft")) == NULL
        || (at->stored = PyUnicode_InternFromString("stored")) == NULL) {
        return -1;
    }
    at->found = 1;
    return 0;
}

void
forget_objects(Objects *at)
{
    at->found = 0;
#define CLASS(name, module) Py_CLEAR(at->name);
    CLASSES(CLASS)
#undef CLASS
#define CONSTANT(name, module, path) Py_CLEAR(at->name);
    CONSTANTS(CONSTANT)
#undef CONSTANT
    Py_CLEAR(at->append);
    Py_CLEAR(at->buffered);
    Py_CLEAR(at->popleft);
    Py_CLEAR(at->stored);
}

int
visit_objects(Objects *at, visitproc visit, void *arg)
{
#define CLASS(name, module) Py_VISIT(at->name);
    CLASSES(CLASS)
#undef CLASS
#define CONSTANT(name, module, path) Py_VISIT(at->name);
    CONSTANTS(CONSTANT)
#undef CONSTANT
    return 0;
}

void
set_field(PyObject **field, PyObject *value)
{
    PyObject *old = *field;
    *field = value;
    Py_XDECREF(old);
}

int
add_to_field(PyObject **field, long long more)
{
    long long known = PyLong_AsLongLong(*field);
    PyObject *sum = known == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(known + more);
    if (sum == NULL) {
        return -1;
    }
    set_field(field, sum);
    return 0;
}

int
count_in(PyObject *dict, PyObject *key)
{
    PyObject *known = find_in(dict, key);
    if (known == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetObject(PyExc_KeyError, key);
        }
        return -1;
    }
    PyObject *more = PyLong_FromLongLong(PyLong_AsLongLong(known) + 1);
    int status = more == NULL ? -1 : PyDict_SetItem(dict, key, more);
    Py_XDECREF(more);
    return status;
}

PyObject *
find_in(PyObject *dict, PyObject *key)
{
    return dict != NULL && PyDict_CheckExact(dict) && key != NULL ? PyDict_GetItemWithError(dict, key) : NULL;
}

Answer
not_found(void)
{
    return PyErr_Occurred() ? FAILED : NOT_PLAIN;
}

int
read_float(PyObject *object, double *value)
{
    if (object == NULL || !PyFloat_CheckExact(object)) {
        return 0;
    }
    *value = PyFloat_AS_DOUBLE(object);
    return 1;
}
