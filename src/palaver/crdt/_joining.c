/* The two inner loops of joining.py, in C: optional, and the same to the cell and to the change.

   joining.py is the definition; this is built where there is a C compiler, against the stable ABI of CPython 3.11, so
   that one file serves every later version. The one decision is `rises` below: a cell wins if it is greater.

   What makes it quick: cells are asked for in blocks, so that many of them come from memory at the same time.

   What it refuses: anything but dicts as states and lists for the changes, and incoming dicts that change while they are
   walked. It calls into Python only where elements or cells are of classes written there; whatever those do to the dicts
   meanwhile, it owns all that it touches. It does not look for Ctrl-C, so a join is one step.

   Invariant: a change is in the lists before it is in the dicts. After an error the caller takes back what is listed. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#if defined(__GNUC__) || defined(__clang__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) ((void)(address))
#endif

/* How many cells are asked for at once. */
#define AT_ONCE 64

typedef struct {
    PyObject *nothing; /* order.NOTHING */
    PyObject *one;
} Constants;

typedef struct {
    const Constants *constants;
    PyObject *live, *dead;
    PyObject *changed, *before, *now;
} Join;

/* An incoming cell, and what is known of its element; all are owned. */
typedef struct {
    PyObject *element, *cell;
    PyObject *known; /* NULL if nothing is */
    int is_member;
} Row;

/* Say whether `cell` was made by an add: 1, 0, or -1 on error. */
static int
is_odd(const Constants *constants, PyObject *cell)
{
    if (PyLong_CheckExact(cell)) {
        return (int)(PyLong_AsUnsignedLongLongMask(cell) & 1);
    }
    PyObject *bit = PyNumber_And(cell, constants->one);
    if (bit == NULL) {
        return -1;
    }
    int odd = PyObject_IsTrue(bit);
    Py_DECREF(bit);
    return odd;
}

static int
look_up(PyObject *side, Row *row)
{
    row->known = Py_XNewRef(PyDict_GetItemWithError(side, row->element));
    if (row->known != NULL) {
        FETCH(row->known);
        return 0;
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int
join_row(const Join *join, const Row *row)
{
    PyObject *known = row->known != NULL ? row->known : join->constants->nothing;
    int rises = PyObject_RichCompareBool(row->cell, known, Py_GT);
    if (rises <= 0) {
        return rises;
    }
    int odd = is_odd(join->constants, row->cell);
    if (odd < 0 || PyList_Append(join->changed, row->element) < 0 || PyList_Append(join->before, known) < 0
        || PyList_Append(join->now, row->cell) < 0
        || PyDict_SetItem(odd ? join->live : join->dead, row->element, row->cell) < 0) {
        return -1;
    }
    if (row->known == NULL || row->is_member == odd) {
        return 0;
    }
    return PyDict_DelItem(row->is_member ? join->live : join->dead, row->element);
}

/* Join `count` rows that have an element and a cell, unless `status` is an error, and let go of them. */
static int
join_rows(const Join *join, Row *rows, int count, int status)
{
    for (int i = 0; i < count && status == 0; i++) {
        status = look_up(join->live, &rows[i]);
        rows[i].is_member = rows[i].known != NULL;
    }
    for (int i = 0; i < count && status == 0; i++) {
        if (rows[i].known == NULL) {
            status = look_up(join->dead, &rows[i]);
        }
    }
    for (int i = 0; i < count && status == 0; i++) {
        status = join_row(join, &rows[i]);
    }
    for (int i = 0; i < count; i++) {
        Py_DECREF(rows[i].element);
        Py_DECREF(rows[i].cell);
        Py_XDECREF(rows[i].known);
    }
    return status;
}

/* Fill in a row; text may reach into the next line of the cache. What it borrows is owned after `hold`. */
static void
take(Row *row, PyObject *element, PyObject *cell)
{
    FETCH(element);
    FETCH((char *)element + 63);
    FETCH(cell);
    row->element = element;
    row->cell = cell;
    row->known = NULL;
}

static void
hold(Row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        Py_INCREF(rows[i].element);
        Py_INCREF(rows[i].cell);
    }
}

static int
join_lists(const Join *join, PyObject *elements, PyObject *cells)
{
    Row rows[AT_ONCE];
    Py_ssize_t at = 0, size = PyList_Size(elements);
    if (size != PyList_Size(cells)) {
        PyErr_SetString(PyExc_ValueError, "there must be as many cells as elements");
        return -1;
    }
    while (at < size) {
        int count = 0;
        for (; count < AT_ONCE && at < size; at++) {
            take(&rows[count++], PyList_GetItem(elements, at), PyList_GetItem(cells, at));
        }
        hold(rows, count);
        if (join_rows(join, rows, count, 0) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
join_dict(const Join *join, PyObject *incoming)
{
    Row rows[AT_ONCE];
    Py_ssize_t at = 0, seen = 0, size = PyDict_Size(incoming);
    int count;
    do {
        PyObject *element, *cell;
        for (count = 0; count < AT_ONCE && PyDict_Next(incoming, &at, &element, &cell);) {
            take(&rows[count++], element, cell);
        }
        hold(rows, count);
        seen += count;
        int status = 0;
        if (seen > size || PyDict_Size(incoming) != size) {
            PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during iteration");
            status = -1;
        }
        if (join_rows(join, rows, count, status) < 0) {
            return -1;
        }
    } while (count > 0);
    return 0;
}

static PyObject *
join_few(PyObject *module, PyObject *arguments)
{
    Join join = {.constants = PyModule_GetState(module)};
    PyObject *elements, *cells;
    if (!PyArg_ParseTuple(arguments, "O!O!OO(O!O!O!):join_few", &PyDict_Type, &join.live, &PyDict_Type, &join.dead,
                          &elements, &cells, &PyList_Type, &join.changed, &PyList_Type, &join.before, &PyList_Type,
                          &join.now)) {
        return NULL;
    }
    /* Lists of our own, which nobody can change meanwhile. */
    elements = PySequence_List(elements);
    cells = elements == NULL ? NULL : PySequence_List(cells);
    int status = cells == NULL ? -1 : join_lists(&join, elements, cells);
    Py_XDECREF(elements);
    Py_XDECREF(cells);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
join_many(PyObject *module, PyObject *arguments)
{
    Join join = {.constants = PyModule_GetState(module)};
    PyObject *adds, *removes;
    int with_before;
    if (!PyArg_ParseTuple(arguments, "O!O!O!O!(O!O!O!)p:join_many", &PyDict_Type, &join.live, &PyDict_Type, &join.dead,
                          &PyDict_Type, &adds, &PyDict_Type, &removes, &PyList_Type, &join.changed, &PyList_Type,
                          &join.before, &PyList_Type, &join.now, &with_before)) {
        return NULL;
    }
    Py_ssize_t old = PyList_Size(join.before);
    if (join_dict(&join, adds) < 0 || join_dict(&join, removes) < 0) {
        return NULL;
    }
    /* It was needed until here, to take back. */
    if (!with_before && PyList_SetSlice(join.before, old, PyList_Size(join.before), NULL) < 0) {
        return NULL;
    }
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"join_few", join_few, METH_VARARGS,
     "join_few(live, dead, elements, cells, changes, /)\n--\n\nAs palaver.crdt.joining.join_few."},
    {"join_many", join_many, METH_VARARGS,
     "join_many(live, dead, adds, removes, changes, with_before, /)\n--\n\nAs palaver.crdt.joining.join_many."},
    {NULL, NULL, 0, NULL},
};

static int
set_up(PyObject *module)
{
    Constants *constants = PyModule_GetState(module);
    constants->nothing = PyLong_FromLongLong(-(1LL << 62));
    constants->one = PyLong_FromLong(1);
    return constants->nothing == NULL || constants->one == NULL ? -1 : 0;
}

static void
tear_down(void *module)
{
    Constants *constants = PyModule_GetState(module);
    if (constants != NULL) {
        Py_CLEAR(constants->nothing);
        Py_CLEAR(constants->one);
    }
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, set_up}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "palaver.crdt._joining",
    .m_doc = "The two inner loops of palaver.crdt.joining, compiled.",
    .m_size = sizeof(Constants),
    .m_methods = methods,
    .m_slots = slots,
    .m_free = tear_down,
};

PyMODINIT_FUNC
PyInit__joining(void)
{
    return PyModuleDef_Init(&definition);
}
