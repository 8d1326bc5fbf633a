/* QEMU's functions that copy a frame's bytes: one handler for all of them.
 *
 * DMA is identified by its address space: a PCI device's own one lies within the device. A function that copies
 * between vectors has no object as an argument: the copy belongs to the frame that the thread carries, from the
 * frame's first stage to its last.
 *
 * COPY_* are made from the instrument copies.
 */

struct copy_site {
    u8 kind; /* COPY_DMA and others */
    u8 number;
};

BPF_HASH(copy_sites, u64, struct copy_site, 16);
BPF_ARRAY(copy_space, u32, 1); /* PCIDevice.bus_master_as */
BPF_PERCPU_ARRAY(copies, struct tally, COPY_INDEX_SIZE);

/* The number of the vector's bytes between `offset` and `offset` + `wanted`. */
static __always_inline u64 vector_part(u64 at, u64 number, u64 offset, u64 wanted) {
    u64 sum = 0, end = offset + wanted;
    if (end < offset)
        end = -1;
    if (number > MOST_VECTORS)
        number = MOST_VECTORS + 1;
    for (u32 i = 0; i < MOST_VECTORS; i++) {
        u64 length = 0;
        if (i >= number || sum >= end)
            break;
        if (bpf_probe_read_user(&length, sizeof(length), (void *)(at + i * 16 + 8))) {
            lose(LOST_READ);
            break;
        }
        sum += length;
    }
    if (number > MOST_VECTORS && sum < end)
        lose(LOST_IOVEC);
    if (sum > end)
        sum = end;
    return sum > offset ? sum - offset : 0;
}

/* The owner of the frame that the thread carries in this direction, plus one; 0 if it carries none. */
static __always_inline u32 carried(u8 way) {
    u32 thread = bpf_get_current_pid_tgid();
    u64 key = (u64)thread << 1 | way;
    struct seen *seen = latest.lookup(&key);
    if (!seen)
        return 0;
    u32 owner = seen->owner;
    key = FRAME_KEY(thread, FRAME_GROUP(owner, FRAME_LANE(0, way)));
    struct frame *frame = frames_now.lookup(&key);
    u64 *turns = frames_turn.lookup(&thread);
    u64 turn = turns ? *turns : 0;
    return frame && frame->open && frame->turn == turn ? owner + 1 : 0;
}

static __always_inline void copied(u8 number, u32 owner, u8 way, u64 bytes) {
    u32 index = COPY_INDEX(owner, way, number);
    struct tally *tally = copies.lookup(&index);
    if (!tally)
        return;
    lock_xadd(&tally->calls, 1);
    lock_xadd(&tally->bytes, bytes);
}

int on_copy(struct pt_regs *ctx) {
    struct target *target = traced();
    u64 at = PT_REGS_IP(ctx);
    if (!target)
        return 0;
    struct copy_site *site = copy_sites.lookup(&at);
    if (!site)
        return 0;
    u64 first = PT_REGS_PARM1(ctx), second = PT_REGS_PARM2(ctx), third = PT_REGS_PARM3(ctx);
    u64 fourth = PT_REGS_PARM4(ctx), fifth = PT_REGS_PARM5(ctx);
    /* Otherwise the compiler chooses between places in ctx, which the verifier does not follow. */
    asm volatile("" : "+r"(first), "+r"(second), "+r"(third), "+r"(fourth), "+r"(fifth));
    u8 way = thread_way();
    if (site->kind == COPY_VECTOR) { /* (vector, number, offset, buffer, bytes) */
        u32 owner = carried(way);
        if (!owner) {
            way = 1 - way;
            owner = carried(way);
        }
        if (owner)
            copied(site->number, owner - 1, way, vector_part(first, (u32)second, third, fifth));
        return 0;
    }
    if (site->kind == COPY_DMA) { /* (address space, address, attributes, buffer, bytes, is it a write) */
        u32 zero = 0, *space = copy_space.lookup(&zero);
        u32 owner = space ? owner_of(first - *space) : UNKNOWN;
        if (owner)
            copied(site->number, owner, way, fifth);
        return 0;
    }
    /* (queue, sender, flags, data, bytes) and (queue, sender, flags, vector, number) */
    u64 info = 0;
    u32 type = 0, owner = owner_of(second);
    if (!owner)
        return 0;
    if (bpf_probe_read_user(&info, sizeof(info), (void *)(second + target->client_info)) ||
        bpf_probe_read_user(&type, sizeof(type), (void *)(info + target->info_type))) {
        lose(LOST_READ);
        return 0;
    }
    u64 bytes = site->kind == COPY_QUEUED ? fifth : vector_part(fourth, (u32)fifth, 0, -1);
    copied(site->number, owner, type == target->driver_nic ? TX : RX, bytes);
    return 0;
}
