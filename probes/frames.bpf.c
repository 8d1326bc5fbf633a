/* A frame from its first stage to its last: how long it took, and how many frames can be followed.
 *
 * A thread of QEMU's carries one frame of an owner's at a time through the stages of a direction, in order of
 * their position. A frame that has to wait (in a NetQueue, or in a batch of vhost's) is set aside when the next
 * one begins, or when the thread waits for events again. It goes on with a stage in the middle: if it alone
 * was waiting, or those that waited began together, that is the frame; else it cannot be told which, and it
 * counts as ambiguous. QEMU's network code holds one lock, and the vhost worker is one thread: what waits is
 * changed by one thread at a time.
 */

/* Bits of place.part; kept equal to qtrace/trace/frames.py. */
enum { PART_TAKES = 1, PART_FIRST = 2, PART_LAST = 4 };

/* How sure it is which frame this is. */
enum { FRAME_KNOWN, FRAME_MIXED, FRAME_ASTRAY };

struct frame {
    u64 began;
    u64 number; /* a batch is handed over as one */
    u64 turn;   /* of the thread */
    u8 first;   /* slot */
    u8 position;
    u8 open;
    u8 how;
};

struct waiting {
    u64 began;
    u64 number;
    u8 first;
    u8 mixed; /* they did not begin together */
};

struct frame_count {
    u64 matched;
    u64 ambiguous;
    u64 astray; /* ended, but did not begin while we looked */
};

/* Owners are kept apart, and what QEMU carries from what the kernel does:
 * group = direction | in the kernel << 1 | owner << 2. */
#define GROUPS (OWNERS * 4)
BPF_HASH(frames_now, u64, struct frame, 4096); /* thread << 16 | group */
BPF_HASH(frames_turn, u32, u64, 4096);         /* thread -> how often it has waited for events */
BPF_ARRAY(frames_waiting, struct waiting, GROUPS);
BPF_PERCPU_ARRAY(frame_counts, struct frame_count, GROUPS);
BPF_PERCPU_HASH(frame_times, u32, u64, 4096); /* owner << 24 | first slot << 16 | last slot << 8 | log2 of ns */

static __always_inline void frame_set_aside(u32 group, struct frame *frame, u64 number) {
    struct waiting *waiting = frames_waiting.lookup(&group);
    if (!waiting)
        return;
    if (waiting->number) {
        waiting->mixed = 1;
    } else {
        waiting->began = frame->began;
        waiting->first = frame->first;
        waiting->mixed = frame->how != FRAME_KNOWN;
    }
    waiting->number += number;
}

/* `number` frames that had been set aside go on. */
static __always_inline void frame_goes_on(u32 group, struct frame *frame, u64 number, u32 slot, u64 now) {
    struct waiting *waiting = frames_waiting.lookup(&group);
    if (!waiting)
        return;
    frame->number = number;
    frame->open = 1;
    frame->how = FRAME_ASTRAY;
    frame->began = now;
    frame->first = slot;
    if (waiting->number) {
        frame->how = waiting->mixed || waiting->number < number ? FRAME_MIXED : FRAME_KNOWN;
        frame->began = waiting->began;
        frame->first = waiting->first;
        waiting->number -= number < waiting->number ? number : waiting->number;
    }
}

static __always_inline void frame_ends(u32 group, struct frame *frame, u64 number, u32 slot, u64 now) {
    struct frame_count *count = frame_counts.lookup(&group);
    struct waiting *waiting = frames_waiting.lookup(&group);
    frame->open = 0;
    if (!count || !waiting)
        return;
    if (number < frame->number) {
        frame_set_aside(group, frame, frame->number - number);
    } else if (number > frame->number) { /* what was handed over one by one ends together */
        u64 more = number - frame->number;
        waiting->number -= more < waiting->number ? more : waiting->number;
        frame->how = FRAME_MIXED;
    }
    if (frame->how == FRAME_MIXED) {
        lock_xadd(&count->ambiguous, number);
        return;
    }
    if (frame->how == FRAME_ASTRAY) {
        lock_xadd(&count->astray, number);
        return;
    }
    lock_xadd(&count->matched, number);
    u32 time = group >> 2 << 24 | (u32)frame->first << 16 | slot << 8 | log2_of(now - frame->began);
    u64 *times = frame_times.lookup(&time);
    if (times)
        lock_xadd(times, number);
    else if (frame_times.update(&time, &number))
        lose(LOST_EDGES);
}

/* `number` frames of an owner's have passed the stage in `slot`. */
static __always_inline void frame_passed(u32 slot, struct place *place, u32 owner, u64 number, u64 now) {
    if (!number || !place->part)
        return;
    u32 thread = bpf_get_current_pid_tgid(), group = place->direction | place->kernel << 1 | owner << 2;
    u64 key = (u64)thread << 16 | group;
    u64 *turns = frames_turn.lookup(&thread), turn = turns ? *turns : 0;
    struct frame *frame = frames_now.lookup(&key);
    if (!frame) {
        struct frame none = {};
        frames_now.update(&key, &none);
        frame = frames_now.lookup(&key);
        if (!frame) {
            lose(LOST_THREADS);
            return;
        }
    }
    u32 goes_on = frame->open && frame->turn == turn && frame->position < place->position;
    if (place->part & PART_FIRST || !goes_on) {
        if (frame->open)
            frame_set_aside(group, frame, frame->number);
        if (place->part & PART_FIRST) {
            frame->began = now;
            frame->number = number;
            frame->first = slot;
            frame->open = 1;
            frame->how = FRAME_KNOWN;
        } else {
            frame_goes_on(group, frame, number, slot, now);
        }
        frame->turn = turn;
    }
    frame->position = place->position;
    if (place->part & PART_LAST)
        frame_ends(group, frame, number, slot, now);
}

/* The thread has waited for events: what it had begun and not ended is in some queue. */
static __always_inline void frames_rest(void) {
    u32 thread = bpf_get_current_pid_tgid();
    u64 *turns = frames_turn.lookup(&thread), one = 1;
    if (turns)
        *turns += 1;
    else
        frames_turn.update(&thread, &one);
}
