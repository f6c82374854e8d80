/* The replay of a recording without Python: NumPy's own loops on recorded memory, on several cores.

   `instructions.py` writes a program, which is an array of 64-bit words, and says there what a
   recording is made of. Here the words are read, in order, by `run_lane`; nothing else is decided.

       lanes, phases, is_short, starts[phases * lanes + 1], instructions...

   A phase is done when all of its lanes are. The lanes of a phase touch no memory that another of
   them writes, so that each is for whichever thread comes first, and the bits do not depend on the
   number of threads. A thread that is late finds its lane done by another.

   An instruction begins with its kind, its length in words and the number of its errstate. An
   operand is two words: the number of an array of those that come with each call (0: none), and
   the address in it. Steps are in bytes. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef int64_t word;
_Static_assert(sizeof(npy_intp) == sizeof(word), "a loop is told sizes and steps as the words are");

enum { LAYOUT = 1 /* another number for each other meaning of the words */ };
enum { LANES, PHASES, IS_SHORT, STARTS };
enum { LOOP, MOVE, GATHER, SCATTER, GUARD };
enum { MOST_OPERANDS = 8, MOST_LANES = 0xffff, MOST_ARRAYS = 1 << 16 };

/* What a run finds: four bits of raised flags for each errstate, and the two that end a replay. */
#define OTHER_BRANCH ((word)1 << 60)
#define NO_SUCH_INDEX ((word)1 << 61)
#define FLAGS (FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID)

static char *address(const word *operand, char *const *arrays)
{
    return arrays[operand[0]] + operand[1];
}

/* --- instructions ------------------------------------------------------------------------- */

/* Go through the outer axes of some operands: `count, step of each operand` for each axis. */
static int next_position(char **at, word operands, const word *axes, word rank, word *position)
{
    for (word axis = 0; axis < rank; axis++, axes += 1 + operands) {
        int wraps = ++position[axis] == axes[0];
        word steps = wraps ? 1 - axes[0] : 1;
        for (word i = 0; i < operands; i++)
            at[i] += steps * axes[1 + i];
        if (!wraps)
            return 1;
        position[axis] = 0;
    }
    return 0;
}

/* function, its data, operands, sizes, steps, rank; the operands, the sizes and the steps that the
   function is told, and the outer axes. */
static void loop(const word *at, char *const *arrays)
{
    PyUFuncGenericFunction function = (PyUFuncGenericFunction)(intptr_t)at[0];
    void *data = (void *)(intptr_t)at[1];
    word operands = at[2], sizes = at[3], steps = at[4], rank = at[5];
    const word *size = at + 6 + 2 * operands, *step = size + sizes, *axes = step + steps;
    char *first[MOST_OPERANDS] = {NULL}, *given[MOST_OPERANDS];
    word position[NPY_MAXDIMS] = {0};
    for (word i = 0; i < operands; i++)
        first[i] = address(at + 6 + 2 * i, arrays);
    do { /* a function may change what it is given */
        memcpy(given, first, sizeof given);
        function(given, (const npy_intp *)size, (const npy_intp *)step, data);
    } while (next_position(first, operands, axes, rank, position));
}

/* The bytes of an element, the number of them, rank; to and from with their steps; outer axes. */
static void move(const word *at, char *const *arrays)
{
    word size = at[0], count = at[1], rank = at[2], to_step = at[5], from_step = at[8];
    const word *axes = at + 9;
    char *both[2] = {address(at + 3, arrays), address(at + 6, arrays)};
    word position[NPY_MAXDIMS] = {0};
    do {
        char *to = both[0], *from = both[1];
        if (to_step == size && from_step == size)
            memcpy(to, from, (size_t)(count * size));
        else if (size == 4)
            for (word i = 0; i < count; i++, to += to_step, from += from_step)
                memcpy(to, from, 4);
        else if (size == 8)
            for (word i = 0; i < count; i++, to += to_step, from += from_step)
                memcpy(to, from, 8);
        else
            for (word i = 0; i < count; i++, to += to_step, from += from_step)
                memcpy(to, from, (size_t)size);
    } while (next_position(both, 2, axes, rank, position));
}

/* The bytes of an entry, the number of indices, that of entries; entries, indices, the others:
   others[i] = entries[indices[i]], or the other way round. */
static word pick(const word *at, char *const *arrays, int scatter)
{
    word size = at[0], count = at[1], length = at[2];
    char *entries = address(at + 3, arrays), *others = address(at + 7, arrays);
    const int64_t *indices = (const int64_t *)address(at + 5, arrays);
    for (word i = 0; i < count; i++, others += size) {
        int64_t index = indices[i] < 0 ? indices[i] + length : indices[i];
        if (index < 0 || index >= length)
            return NO_SUCH_INDEX;
        char *entry = entries + index * size;
        memcpy(scatter ? entry : others, scatter ? others : entry, (size_t)size);
    }
    return 0;
}

/* What NumPy does before a loop whose operand is of another dtype. */
#define CAST(FROM, TO)                                                                            \
    static void cast_##FROM##_to_##TO(                                                            \
        char **at, npy_intp const *size, npy_intp const *step, void *data)                        \
    {                                                                                             \
        char *from = at[0], *to = at[1];                                                          \
        (void)data;                                                                               \
        for (npy_intp i = 0; i < size[0]; i++, from += step[0], to += step[1])                    \
            *(npy_##TO *)to = (npy_##TO) * (npy_##FROM *)from;                                    \
    }
#define CASTS(FROM) CAST(FROM, float) CAST(FROM, double)
CAST(bool, ubyte) CASTS(bool) CASTS(ubyte) CASTS(int) CASTS(longlong) CASTS(float) CASTS(double)

static const struct {
    int from, to;
    PyUFuncGenericFunction function;
} casts[] = {
#define ENTRIES(FROM, NUMBER)                                                                     \
    {NUMBER, NPY_FLOAT, cast_##FROM##_to_float}, {NUMBER, NPY_DOUBLE, cast_##FROM##_to_double}
    {NPY_BOOL, NPY_UBYTE, cast_bool_to_ubyte}, ENTRIES(bool, NPY_BOOL), ENTRIES(ubyte, NPY_UBYTE), ENTRIES(int, NPY_INT),
    ENTRIES(longlong, NPY_LONGLONG), ENTRIES(float, NPY_FLOAT), ENTRIES(double, NPY_DOUBLE),
};

static word run_lane(const word *at, const word *end, char *const *arrays)
{
    word found = 0;
    feclearexcept(FLAGS);
    for (; at < end; at += at[1]) {
        switch (at[0]) {
        case LOOP: loop(at + 3, arrays); break;
        case MOVE: move(at + 3, arrays); break;
        case GATHER: found |= pick(at + 3, arrays, 0); break;
        case SCATTER: found |= pick(at + 3, arrays, 1); break;
        case GUARD: /* the truth, and where it is */
            if ((*address(at + 4, arrays) != 0) != at[3])
                found |= OTHER_BRANCH;
        }
        int raised = fetestexcept(FLAGS);
        if (raised) {
            word bits = (raised & FE_DIVBYZERO ? 1 : 0) | (raised & FE_OVERFLOW ? 2 : 0) |
                        (raised & FE_UNDERFLOW ? 4 : 0) | (raised & FE_INVALID ? 8 : 0);
            found |= bits << (4 * at[2]);
            feclearexcept(raised);
        }
    }
    return found;
}

/* --- threads ------------------------------------------------------------------------------ */

enum { MOST_HELPERS = 15, STACK = 8 << 20 };
/* Nanoseconds. A helper that has nothing to do goes to sleep after the first: between two steps
   Python takes some 100 microseconds, and to wake one takes as long as a small phase (with a
   millisecond, a busy neighbour on one of two cores made the steps of a large net take twice as
   long). Who waits for a lane gives up its core after the second, as that may be what the other
   waits for; to sleep there was slower. */
enum { UNTIL_SLEEP = 200000, UNTIL_YIELD = 100000 };

static struct {
    pthread_mutex_t taken; /* by the one thread whose program has the helpers */
    int helpers;
    /* The phase that is under way; read only by a thread that has a lane of it, during which no
       other can begin. */
    const word *program;
    char *const *arrays;
    word phase;
    fenv_t environment; /* the rounding, say, of the thread whose program it is */
    /* Each phase has another number, in the upper bits; below, how many lanes nobody has taken. */
    _Atomic uint64_t ticket;
    _Atomic int done;
    _Atomic word found;
    _Atomic int asleep;
    pthread_mutex_t bed;
    pthread_cond_t alarm;
} team = {.taken = PTHREAD_MUTEX_INITIALIZER,
          .bed = PTHREAD_MUTEX_INITIALIZER,
          .alarm = PTHREAD_COND_INITIALIZER};

#define LANES_LEFT(ticket) ((ticket) & MOST_LANES)

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

/* To the other thread of the same core, where a processor has such: go on, I only wait. */
static void relax(void)
{
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Do a lane that nobody has taken. Returns 0 if there is none. */
static int do_a_lane(int is_helper)
{
    uint64_t ticket = atomic_load(&team.ticket);
    do {
        if (!LANES_LEFT(ticket))
            return 0;
    } while (!atomic_compare_exchange_weak(&team.ticket, &ticket, ticket - 1));
    if (is_helper)
        fesetenv(&team.environment);
    const word *program = team.program, *start = program + STARTS + team.phase * program[LANES];
    start += LANES_LEFT(ticket) - 1;
    word found = run_lane(program + start[0], program + start[1], team.arrays);
    if (found)
        atomic_fetch_or(&team.found, found);
    atomic_fetch_add(&team.done, 1);
    return 1;
}

static void *help(void *unused)
{
    (void)unused;
    for (;;) {
        for (int64_t since = nanoseconds(); nanoseconds() - since < UNTIL_SLEEP;) {
            for (int i = 0; i < 64; i++) {
                relax();
                while (do_a_lane(1))
                    since = nanoseconds();
            }
        }
        pthread_mutex_lock(&team.bed);
        atomic_fetch_add(&team.asleep, 1);
        while (!LANES_LEFT(atomic_load(&team.ticket)))
            pthread_cond_wait(&team.alarm, &team.bed);
        atomic_fetch_sub(&team.asleep, 1);
        pthread_mutex_unlock(&team.bed);
    }
    return NULL;
}

static void call_helpers(word count)
{
    if (team.helpers >= count)
        return;
    sigset_t all, before; /* signals are for the threads of Python */
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK); /* on some systems it is too small for BLAS */
    while (team.helpers < count && team.helpers < MOST_HELPERS) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, help, NULL))
            break; /* the system has none to give: fewer will do */
        team.helpers++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* All lanes of a phase, with whoever helps. */
static void run_phase(const word *program, word phase, char *const *arrays)
{
    word lanes = program[LANES];
    team.program = program, team.arrays = arrays, team.phase = phase;
    atomic_store(&team.done, 0);
    uint64_t number = (atomic_load(&team.ticket) >> 16) + 1;
    atomic_store(&team.ticket, number << 16 | (uint64_t)lanes);
    if (atomic_load(&team.asleep)) {
        pthread_mutex_lock(&team.bed);
        pthread_cond_broadcast(&team.alarm);
        pthread_mutex_unlock(&team.bed);
    }
    while (do_a_lane(0))
        ;
    for (int64_t since = nanoseconds(); atomic_load(&team.done) < lanes;) {
        relax();
        if (nanoseconds() - since > UNTIL_YIELD)
            sched_yield();
    }
}

static word run_program(const word *program, char *const *arrays, word threads)
{
    word lanes = program[LANES], phases = program[PHASES], found = 0;
    const word *start = program + STARTS;
    if (lanes == 1 || threads == 1 || pthread_mutex_trylock(&team.taken)) {
        for (word i = 0; i < phases * lanes; i++)
            found |= run_lane(program + start[i], program + start[i + 1], arrays);
        return found;
    }
    call_helpers((threads < lanes ? threads : lanes) - 1);
    fegetenv(&team.environment);
    atomic_store(&team.found, 0);
    for (word phase = 0; phase < phases; phase++, start += lanes) {
        word busy = 0, lane = 0;
        for (word i = 0; i < lanes; i++)
            if (start[i] < start[i + 1])
                busy++, lane = i;
        if (busy > 1)
            run_phase(program, phase, arrays);
        else
            found |= run_lane(program + start[lane], program + start[lane + 1], arrays);
    }
    found |= atomic_load(&team.found);
    pthread_mutex_unlock(&team.taken);
    return found;
}

/* A forked child has no helpers, and what they were at is not its business. */
static void begin_as_child(void)
{
    team.taken = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    team.bed = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    team.alarm = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    team.helpers = 0;
    atomic_store(&team.ticket, 0);
    atomic_store(&team.asleep, 0);
}

/* --- what Python sees --------------------------------------------------------------------- */

static PyObject *run(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 3 || !PyBytes_Check(args[0]) || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "run(program, arrays, threads)");
    const word *program = (const word *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t given = PyTuple_GET_SIZE(args[1]);
    if (given >= MOST_ARRAYS || program[LANES] > MOST_LANES)
        return PyErr_Format(PyExc_ValueError, "too many arrays (%zd) or lanes", given);
    char *arrays[given + 1];
    arrays[0] = NULL; /* for addresses that stay what they are */
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *array = PyTuple_GET_ITEM(args[1], i);
        if (!PyArray_Check(array) || !PyArray_ISALIGNED((PyArrayObject *)array))
            return PyErr_Format(PyExc_TypeError, "an operand is no aligned array");
        arrays[i + 1] = PyArray_BYTES((PyArrayObject *)array);
    }
    long threads = PyLong_AsLong(args[2]);
    if (threads == -1 && PyErr_Occurred())
        return NULL;
    word found;
    if (program[IS_SHORT]) /* others may wait for the interpreter's lock so long */
        found = run_program(program, arrays, 1);
    else {
        Py_BEGIN_ALLOW_THREADS
        found = run_program(program, arrays, threads < 0 ? 1 : threads);
        Py_END_ALLOW_THREADS
    }
    return PyLong_FromLongLong(found);
}

static PyObject *loop_of(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object;
    const char *types;
    Py_ssize_t operands;
    if (!PyArg_ParseTuple(args, "Oy#", &object, &types, &operands))
        return NULL;
    if (!PyObject_TypeCheck(object, &PyUFunc_Type))
        return PyErr_Format(PyExc_TypeError, "%R is no universal function", object);
    PyUFuncObject *ufunc = (PyUFuncObject *)object;
    if (ufunc->nargs != operands || operands > MOST_OPERANDS)
        Py_RETURN_NONE;
    for (int i = 0; i < ufunc->ntypes; i++)
        if (!memcmp(ufunc->types + i * operands, types, (size_t)operands) && ufunc->functions[i])
            return Py_BuildValue(
                "LL",
                (long long)(intptr_t)ufunc->functions[i],
                (long long)(intptr_t)(ufunc->data ? ufunc->data[i] : NULL));
    Py_RETURN_NONE;
}

static PyObject *cast_of(PyObject *module, PyObject *args)
{
    (void)module;
    int from, to;
    if (!PyArg_ParseTuple(args, "ii", &from, &to))
        return NULL;
    if (from == NPY_LONG && NPY_SIZEOF_LONG == 8)
        from = NPY_LONGLONG;
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++)
        if (casts[i].from == from && casts[i].to == to && from != to)
            return Py_BuildValue("LL", (long long)(intptr_t)casts[i].function, (long long)0);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL, NULL},
    {"loop_of", loop_of, METH_VARARGS, NULL},
    {"cast_of", cast_of, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
    import_array();
    import_umath();
    if (pthread_atfork(NULL, NULL, begin_as_child))
        return PyErr_NoMemory();
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "LAYOUT", LAYOUT))
        Py_CLEAR(module);
    return module;
}
