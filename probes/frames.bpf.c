/* A frame from its first stage to its last: how long it took, and how many frames can be followed.
 *
 * A thread of QEMU's carries one frame of an owner's at a time through the stages of a direction, in order of
 * their position. A frame that has to wait (in a NetQueue, or in a batch of vhost's) is set aside when the next
 * one begins, or when the thread waits for events again. It goes on with a stage in the middle: if it alone
 * was waiting, or those that waited began together, that is the frame; else it cannot be told which, and it
 * counts as ambiguous. QEMU's network code holds one lock, and the vhost worker is one thread: what waits is
 * changed by one thread at a time.
 *
 * PART_*, FRAME_LANE, FRAME_GROUP, FRAME_KEY and FRAME_STOP_KEY are made from frames.py.
 */

/* How sure it is which frame this is. */
enum { FRAME_KNOWN, FRAME_MIXED, FRAME_ASTRAY };

struct frame {
    u64 began;
    u64 number; /* a batch is handed over as one */
    u64 turn;   /* of the thread */
    u64 latest; /* when it passed its last stage so far */
    u8 slot;    /* that stage's */
    u8 first;   /* slot */
    u8 position;
    u8 open;
    u8 how;
    u8 sampled;
    u8 kicked; /* slot + 1 of a kick that no sampled frame has followed yet */
    u64 kick;  /* when */
};

struct waiting {
    u64 began;
    u64 number;
    u8 first;
    u8 mixed; /* they did not begin together */
    u8 sampled;
    u8 slot;  /* where they stopped; NO_SLOT: not all at the same stage */
    u64 latest;
};

struct frame_count {
    u64 matched;
    u64 ambiguous;
    u64 astray; /* ended, but did not begin while we looked */
    u64 waited; /* went on after having been set aside */
};

/* Owners are kept apart, and what QEMU carries from what the kernel does: a FRAME_GROUP. */
BPF_ARRAY(frame_parts, u8, STAGE_INDEX_SIZE);  /* STAGE_INDEX */
BPF_HASH(frames_now, u64, struct frame, 4096); /* FRAME_KEY */
BPF_HASH(frames_turn, u32, u64, 4096);         /* thread -> how often it has waited for events */
BPF_ARRAY(frames_waiting, struct waiting, FRAME_GROUP_SIZE);
BPF_PERCPU_ARRAY(frame_counts, struct frame_count, FRAME_GROUP_SIZE);
BPF_PERCPU_HASH(frame_times, u32, u64, 4096); /* EDGE_KEY */

BPF_HASH(frame_stops, u32, u64, 4096); /* FRAME_STOP_KEY -> frames that stopped there and have not gone on */
BPF_PERCPU_HASH(frame_waits, u32, u64, 4096); /* as frame_times: from where a frame stopped to where it went on */

/* One frame in so many is sampled, where frame_samples.bpf.c is among the programs. */
#ifdef WITH_FRAME_SAMPLES
static __always_inline u8 sampling_on(void);
static __always_inline u8 sample_begins(u64 now);
static __always_inline void sample_hit(u32 slot, u32 group, u64 began, u64 when, u64 frames, u64 bytes);
static __always_inline void sample_data(u32 slot, u64 began, u64 at, u64 number, u64 length);
#else
static __always_inline u8 sampling_on(void) { return 0; }
static __always_inline u8 sample_begins(u64 now) { return 0; }
static __always_inline void sample_hit(u32 slot, u32 group, u64 began, u64 when, u64 frames, u64 bytes) {}
static __always_inline void sample_data(u32 slot, u64 began, u64 at, u64 number, u64 length) {}
#endif

/* `number` more frames wait at a stage, or with `number` negative fewer. */
static __always_inline void frame_stopped(u32 group, u8 slot, u64 number) {
    u32 place = FRAME_STOP_KEY(group, slot);
    u64 *frames = frame_stops.lookup(&place);
    if (frames)
        lock_xadd(frames, number);
    else if (frame_stops.update(&place, &number))
        lose(LOST_EDGES);
}

static __always_inline void frame_set_aside(u32 group, struct frame *frame, u64 number) {
    struct waiting *waiting = frames_waiting.lookup(&group);
    if (!waiting)
        return;
    frame_stopped(group, frame->slot, number);
    if (waiting->number) {
        waiting->mixed = 1;
        if (waiting->slot != frame->slot)
            waiting->slot = NO_SLOT;
    } else {
        waiting->slot = frame->slot;
        waiting->latest = frame->latest;
        waiting->began = frame->began;
        waiting->first = frame->first;
        waiting->mixed = frame->how != FRAME_KNOWN;
        waiting->sampled = frame->sampled;
    }
    waiting->number += number;
}

/* Takes up to `number` frames from those that wait. */
static __always_inline u64 frame_taken(u32 group, struct waiting *waiting, u64 number) {
    u64 taken = number < waiting->number ? number : waiting->number;
    struct frame_count *count = frame_counts.lookup(&group);
    if (!taken)
        return 0;
    /* A set of several stages is counted apart: which of them goes on is not known. */
    frame_stopped(group, waiting->slot, -taken);
    waiting->number -= taken;
    if (count)
        lock_xadd(&count->waited, taken);
    return taken;
}

static __always_inline void
frame_goes_on_counted(u32 group, struct waiting *waiting, u8 how, u64 number, u32 slot, u64 now) {
    u32 time = EDGE_KEY(FRAME_GROUP_OWNER(group), waiting->slot, slot, log2_of(now - waiting->latest));
    u64 taken = frame_taken(group, waiting, number);
    if (how != FRAME_KNOWN || !taken)
        return;
    u64 *times = frame_waits.lookup(&time);
    if (times)
        lock_xadd(times, taken);
    else if (frame_waits.update(&time, &taken))
        lose(LOST_EDGES);
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
    frame->sampled = 0;
    if (waiting->number) {
        frame->how = waiting->mixed || waiting->number < number ? FRAME_MIXED : FRAME_KNOWN;
        frame->began = waiting->began;
        frame->first = waiting->first;
        frame->sampled = frame->how == FRAME_KNOWN && waiting->sampled;
        frame_goes_on_counted(group, waiting, frame->how, number, slot, now);
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
        frame_taken(group, waiting, number - frame->number);
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
    u32 time = EDGE_KEY(FRAME_GROUP_OWNER(group), frame->first, slot, log2_of(now - frame->began));
    u64 *times = frame_times.lookup(&time);
    if (times)
        lock_xadd(times, number);
    else if (frame_times.update(&time, &number))
        lose(LOST_EDGES);
}

/* A stage without a count of frames: a kick comes before its frame, an interrupt after, a piece of a stream
 * within. Gives when the frame began that was sampled, or 0. */
static __always_inline u64 frame_notice(u32 slot, struct place *place, u32 group, struct frame *frame, u64 now) {
    if (frame->sampled && frame->position < place->position) {
        u64 began = frame->began;
        sample_hit(slot, group, began, now, 0, 0);
        if (!frame->open)
            frame->sampled = 0; /* its interrupt; the next one is another frame's */
        return began;
    }
    frame->kicked = slot + 1;
    frame->kick = now;
    return 0;
}

/* `number` frames of an owner's have passed the stage in `slot`. Gives when the frame began if it is sampled. */
static __always_inline u64
frame_passed(u32 slot, struct place *place, u32 owner, u64 number, u64 bytes, u64 now) {
    u32 index = STAGE_INDEX(owner, slot), thread = bpf_get_current_pid_tgid();
    u32 group = FRAME_GROUP(owner, FRAME_LANE(place->kernel, place->direction));
    u64 key = FRAME_KEY(thread, group);
    u8 *part = frame_parts.lookup(&index);
    if (!part || (number ? !*part : !sampling_on()))
        return 0;
    struct frame *frame = frames_now.lookup(&key);
    if (!frame) {
        struct frame none = {};
        frames_now.update(&key, &none);
        frame = frames_now.lookup(&key);
        if (!frame) {
            lose(LOST_THREADS);
            return 0;
        }
    }
    if (!number)
        return frame_notice(slot, place, group, frame, now);
    u64 *turns = frames_turn.lookup(&thread), turn = turns ? *turns : 0;
    u32 goes_on = frame->open && frame->turn == turn && frame->position < place->position;
    if (*part & PART_FIRST || !goes_on) {
        if (frame->open)
            frame_set_aside(group, frame, frame->number);
        if (*part & PART_FIRST) {
            frame->began = now;
            frame->number = number;
            frame->first = slot;
            frame->open = 1;
            frame->how = FRAME_KNOWN;
            frame->sampled = sample_begins(now);
            if (frame->sampled && frame->kicked)
                sample_hit(frame->kicked - 1, group, now, frame->kick, 0, 0);
            frame->kicked = 0;
        } else {
            frame_goes_on(group, frame, number, slot, now);
        }
        frame->turn = turn;
    }
    frame->position = place->position;
    frame->slot = slot;
    frame->latest = now;
    u64 began = frame->sampled ? frame->began : 0;
    if (began)
        sample_hit(slot, group, began, now, number, bytes);
    if (*part & PART_LAST)
        frame_ends(group, frame, number, slot, now);
    return began;
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
