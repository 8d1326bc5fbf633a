/* One frame in N, with each of its hits sent to user space: time, place, and the frame's first bytes.
 *
 * The frame of a hit is identified by (group, time at which the frame began), which frames.bpf.c follows. All other
 * frames cost one read of a counter. SAMPLE_BYTES and struct sample are made from the instrument frame_samples.
 */

#define SAMPLE_VECTORS 8

struct sampling {
    u64 every; /* 0: none */
    u64 most;  /* frames a second */
    u64 begun;
    u64 second; /* beginning of this second */
    u64 chosen; /* in this second */
    u64 passed_over; /* beyond `most` */
};

struct sample_with_data {
    struct sample head;
    u8 data[2 * SAMPLE_BYTES]; /* twice: the verifier knows only the bits of an offset */
};

BPF_ARRAY(sampling, struct sampling, 1);
BPF_RINGBUF_OUTPUT(sample_events, 1024); /* pages */

static __always_inline struct sampling *sampling_now(void) {
    u32 zero = 0;
    struct sampling *found = sampling.lookup(&zero);
    return found && found->every ? found : 0;
}

static __always_inline u8 sampling_on(void) {
    return sampling_now() != 0;
}

/* Whether the frame that begins now is to be sampled. */
static __always_inline u8 sample_begins(u64 now) {
    struct sampling *found = sampling_now();
    if (!found)
        return 0;
    u64 number = found->begun;
    lock_xadd(&found->begun, 1);
    if (number % found->every)
        return 0;
    if (now - found->second >= 1000000000) {
        found->second = now;
        found->chosen = 0;
    }
    if (found->chosen >= found->most) {
        lock_xadd(&found->passed_over, 1);
        return 0;
    }
    found->chosen += 1;
    return 1;
}

static __always_inline void sample_hit(u32 slot, u32 group, u64 began, u64 when, u64 frames, u64 bytes) {
    struct sample *hit = sample_events.ringbuf_reserve(sizeof(struct sample));
    if (!hit) {
        lose(LOST_SAMPLES);
        return;
    }
    hit->when = when;
    hit->began = began;
    hit->frames = frames;
    hit->bytes = bytes;
    hit->thread = bpf_get_current_pid_tgid();
    hit->group = group;
    hit->cpu = bpf_get_smp_processor_id();
    hit->length = 0;
    hit->slot = slot;
    hit->has_data = 0;
    hit->unused = 0;
    sample_events.ringbuf_submit(hit, 0);
}

/* The first bytes of a sampled frame: `number` vectors at `at`, or with `number` 0 `length` bytes there. */
static __always_inline void sample_data(u32 slot, u64 began, u64 at, u64 number, u64 length) {
    struct sample_with_data *found = sample_events.ringbuf_reserve(sizeof(struct sample_with_data));
    if (!found) {
        lose(LOST_SAMPLES);
        return;
    }
    u32 filled = 0;
    for (u32 i = 0; i < SAMPLE_VECTORS; i++) {
        struct { u64 base, length; } one = {.base = at, .length = length};
        if (i >= (number ? number : 1) || filled >= SAMPLE_BYTES)
            break;
        if (number && bpf_probe_read_user(&one, sizeof(one), (void *)(at + i * sizeof(one)))) {
            lose(LOST_READ);
            break;
        }
        u64 begin = filled, size = SAMPLE_BYTES - filled;
        if (one.length < size)
            size = one.length;
        if (!size)
            continue;
        /* The compiler knows both bounds and leaves the masks out; the verifier wants to see them, and that of
         * Linux 6.1, as Debian 12 has it, loses what a test of a copy says: so the size is masked too. */
        size -= 1;
        asm volatile("" : "+r"(begin), "+r"(size));
        begin &= SAMPLE_BYTES - 1;
        size = (size & (SAMPLE_BYTES - 1)) + 1;
        if (bpf_probe_read_user(found->data + begin, size, (void *)one.base)) {
            lose(LOST_READ);
            break;
        }
        filled += size;
    }
    found->head.when = 0;
    found->head.began = began;
    found->head.frames = 0;
    found->head.bytes = 0;
    found->head.thread = bpf_get_current_pid_tgid();
    found->head.group = 0;
    found->head.cpu = 0;
    found->head.length = filled;
    found->head.slot = slot;
    found->head.has_data = 1;
    found->head.unused = 0;
    sample_events.ringbuf_submit(found, 0);
}
