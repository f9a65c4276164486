#pragma once

/*
 * FAULT_POINT() marks a place at which a crash must be survived: after every commit, and between
 * the steps of what takes several. In a build for tests (-DCONWARD_FAULT_POINTS) the program
 * crashes there when a test wants it to, and can list all such places, so that none is forgotten;
 * in any other build it is nothing.
 *
 * FAULT_POINT_AT(step, steps) is one for each step of a loop: `step` is a bit, and `steps` are all
 * bits that it can be, a constant.
 *
 * There is none between a system call's return and the store of its result: nothing there could
 * fail, and tests/fault-points/stores.c sees to it that nothing of ours is there.
 */
#ifdef CONWARD_FAULT_POINTS

typedef struct FaultPoint {
    const char *file;
    int line;
    const char *function;
    unsigned steps; /* 0: it has none */
} FaultPoint;

/* Crashes, if a test wants it here and now, at this step. */
void fault_point(const FaultPoint *here, unsigned step);

#define FAULT_POINT_AT(step, steps)                                                            \
    do {                                                                                       \
        static const FaultPoint here = {__FILE__, __LINE__, __func__, (steps)};                \
        static const FaultPoint *const listed __attribute__((section("fault_points"), used)) = \
            &here;                                                                             \
                                                                                               \
        fault_point(listed, (step));                                                           \
    } while (0)

#define FAULT_POINT() FAULT_POINT_AT(0, 0)

#else
#define FAULT_POINT_AT(step, steps) ((void)0)
#define FAULT_POINT() ((void)0)
#endif
