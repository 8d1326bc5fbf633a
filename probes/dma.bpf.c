/* DMA of network cards in their descriptor rings: frames taken, completed, received in the guest's memory.
 *
 * QEMU's DMA helpers are inline, but the functions that they call are not, and have the card's own address space as
 * an argument. The card's registers have the addresses of the rings (dma_rings). An access is a part of a
 * descriptor: a read in a ring of direction tx precedes a frame that is sent, a write there reports that a frame was
 * sent, and a write in a ring of direction rx reports that a frame has arrived.
 *
 * RINGS, RING_INDEX and DMA_* are made from dma.py.
 */

struct ring {
    u64 first;
    u64 end; /* 0: no more rings */
    u32 owner;
    u32 direction;
    u64 at[2]; /* where the device keeps the numbers that `first` and `end` are counted from; 0: none */
};

/* Descriptors that a thread has taken from a ring and not completed. */
struct taken {
    u64 sent; /* frames that were sent and not completed */
    u32 slot; /* of dequeue, + 1 */
    u32 owner;
    u32 early; /* slot of complete, + 1, if a descriptor was completed before its frame was sent; else 0 */
    u32 unused;
};

BPF_ARRAY(dma_rings, struct ring, RING_INDEX_SIZE); /* RING_INDEX */
BPF_ARRAY(dma_slots, u32, SIDE_INDEX_SIZE);         /* SIDE_INDEX of DMA_* -> slot + 1 */
BPF_ARRAY(dma_space, u64, 1);                       /* PCIDevice.bus_master_as */
BPF_HASH(dma_taken, u32, struct taken, 1024);       /* by thread */
BPF_HASH(dma_delivered, u32, u32, 1024);            /* thread -> whether no part of its last frame was received yet */

static __always_inline u32 dma_slot(u32 access, u32 direction) {
    u32 index = SIDE_INDEX(access, direction);
    u32 *slot = dma_slots.lookup(&index);
    return slot ? *slot : 0;
}

/* What is at an address of QEMU's, 0 without one. */
static __always_inline u32 kept_at(u64 at) {
    u32 value = 0;
    if (at && bpf_probe_read_user(&value, sizeof(value), (void *)at))
        lose(LOST_READ);
    return value;
}

/* `read`, `sent`, `received` are the indexes of dequeue, complete and enqueue for the function that was called. */
static __always_inline void
dma(u64 space, u64 address, u32 writes, u32 read, u32 sent, u32 received) {
    u32 zero = 0, thread = bpf_get_current_pid_tgid(), found = 0;
    u64 *offset = dma_space.lookup(&zero);
    if (!offset)
        return;
    u32 card = owner_of(space - *offset);
    if (card == UNKNOWN || card >= OWNERS)
        return;
    struct ring ring = {};
    for (u32 n = 0; n < RINGS; n++) {
        u32 index = RING_INDEX(card, n);
        struct ring *at = dma_rings.lookup(&index);
        if (!at || !at->end)
            return;
        u64 from = at->at[0] ? (u32)(kept_at(at->at[0]) + kept_at(at->at[1])) : 0;
        u64 place = address - from;
        if (place >= at->first && place < at->end && (writes || at->direction == TX)) {
            ring = *at;
            found = 1;
            break;
        }
    }
    if (!found)
        return;
    if (!writes) {
        u32 slot = dma_slot(read, TX);
        if (!slot)
            return;
        struct taken *before = dma_taken.lookup(&thread);
        struct taken taken = {.slot = slot, .owner = ring.owner};
        if (before) {
            taken.sent = before->sent;
            taken.early = before->early;
        }
        dma_taken.update(&thread, &taken);
        passed(slot - 1, ring.owner, 0, 0);
        return;
    }
    if (ring.direction == TX) {
        u32 slot = dma_slot(sent, TX);
        struct taken *taken = dma_taken.lookup(&thread);
        u64 frames = taken ? taken->sent : 0;
        if (taken) {
            taken->sent = 0;
            taken->early = frames ? 0 : slot & 0xff;
        }
        if (slot)
            passed(slot - 1, ring.owner, frames, 0);
        return;
    }
    u32 slot = dma_slot(received, RX);
    if (!slot)
        return;
    /* The first access behind `deliver` counts one more frame; accesses to its other descriptors do not. */
    u32 *delivered = dma_delivered.lookup(&thread);
    u64 frames = delivered && *delivered;
    if (frames)
        *delivered = 0;
    passed(slot - 1, ring.owner, frames, 0);
}

/* A frame is delivered to the card. */
static __always_inline void dma_deliver(void) {
    u32 thread = bpf_get_current_pid_tgid(), one = 1;
    u32 *delivered = dma_delivered.lookup(&thread);
    if (delivered)
        *delivered = 1;
    else
        dma_delivered.update(&thread, &one);
}

/* A frame is sent: it was taken from the ring if this thread has taken a descriptor since the last kick. */
static __always_inline void dma_sent(u32 owner, u64 frames, u64 bytes) {
    u32 thread = bpf_get_current_pid_tgid();
    struct taken *taken = dma_taken.lookup(&thread);
    if (!taken || !taken->slot || taken->owner != owner || owner >= OWNERS)
        return;
    u32 index = STAGE_INDEX(owner, (taken->slot - 1) & 0xff);
    struct count *count = counts.lookup(&index);
    if (count) {
        lock_xadd(&count->frames, frames);
        lock_xadd(&count->bytes, bytes);
    }
    if (!taken->early) {
        taken->sent += frames;
        return;
    }
    index = STAGE_INDEX(owner, taken->early - 1);
    taken->early = 0;
    count = counts.lookup(&index);
    if (count)
        lock_xadd(&count->frames, frames);
}

/* address_space_rw(space, address, attributes, buffer, length, writes) */
int on_dma_rw(struct pt_regs *ctx) {
    if (traced())
        dma(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), (u8)PT_REGS_PARM6(ctx), DMA_RW, DMA_RW + 1, DMA_RW + 2);
    return 0;
}

/* address_space_ldl_le(space, address, attributes, result) and the like */
#define ON_LOAD(name, access)                                                    \
    int name(struct pt_regs *ctx) {                                              \
        if (traced())                                                            \
            dma(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), 0, access, 0, 0);        \
        return 0;                                                                \
    }
/* address_space_stl_le(space, address, value, attributes, result) and the like */
#define ON_STORE(name, access)                                                   \
    int name(struct pt_regs *ctx) {                                              \
        if (traced())                                                            \
            dma(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), 1, 0, access, access + 1); \
        return 0;                                                                \
    }
ON_LOAD(on_dma_load16, DMA_LOAD16)
ON_LOAD(on_dma_load32, DMA_LOAD32)
ON_LOAD(on_dma_load64, DMA_LOAD64)
ON_STORE(on_dma_store16, DMA_STORE16)
ON_STORE(on_dma_store32, DMA_STORE32)
ON_STORE(on_dma_store64, DMA_STORE64)
