/* Interrupts of network cards, by every way in which QEMU raises one: MSI-X, MSI, the PCI pin.
 *
 * The device determines the owner. The direction comes from the vector for MSI-X, if the device's table of vectors
 * has it; else from the buffers that the thread has just returned to the guest; else it is the direction of the
 * card's last frame, because one pin or one vector serves both.
 *
 * INTERRUPT_*, VECTOR_* are made from interrupts.py.
 */

BPF_ARRAY(interrupt_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of INTERRUPT_* -> slot + 1 */
BPF_HASH(irq_level, u64, u32, 1024); /* device, or line -> level */
BPF_HASH(vectors, u32, u32, 4096);   /* VECTOR_KEY -> VECTOR_USE */

static __always_inline void interrupt(u32 way, u32 owner, u32 direction) {
    u32 index = SIDE_INDEX(way, direction);
    u32 *slot = interrupt_slots.lookup(&index);
    if (slot && *slot)
        passed(*slot - 1, owner, 0, 0);
}

/* Count for the direction of the last frame of the card's owner. */
static __always_inline void interrupt_of_last(u32 way, u32 owner) {
    u32 *last = last_way.lookup(&owner);
    if (last && *last) /* else no frame has passed yet */
        interrupt(way, owner, *last - 1);
}

/* msix_notify(device, vector) */
int on_msix_notify(struct pt_regs *ctx) {
    struct target *target = traced();
    if (!target)
        return 0;
    u64 device = PT_REGS_PARM1(ctx);
    u32 owner = owner_of(device), vector = (u32)PT_REGS_PARM2(ctx);
    u32 thread = bpf_get_current_pid_tgid();
    u32 *given = giving.lookup(&thread);
    u32 key = VECTOR_KEY(owner, vector);
    u32 *known = owner == UNKNOWN ? 0 : vectors.lookup(&key);
    u32 use = known ? VECTOR_USE_USE(*known) : VECTOR_SHARED;
    if (use != VECTOR_SHARED) {
        if (use != VECTOR_OTHER)
            interrupt(INTERRUPT_MSIX, VECTOR_USE_OWNER(*known), use);
        return 0;
    }
    if (given) { /* a virtqueue to which a buffer has just been returned */
        owner = *given >> 8;
        u32 direction = *given & 0xff;
        giving.delete(&thread);
        if (direction <= RX)
            interrupt(INTERRUPT_MSIX, owner, direction);
        return 0;
    }
    if (owner != UNKNOWN)
        interrupt_of_last(INTERRUPT_MSIX, owner);
    return 0;
}

/* msi_notify(device, vector) */
int on_msi_notify(struct pt_regs *ctx) {
    u32 owner = traced() ? owner_of(PT_REGS_PARM1(ctx)) : UNKNOWN;
    if (owner != UNKNOWN)
        interrupt_of_last(INTERRUPT_MSI, owner);
    return 0;
}

/* Devices set the level of their pin again and again; a change from low to high is one interrupt. */
static __always_inline void pin_set(struct target *target, u32 way, u64 device, u32 level) {
    u32 *before = irq_level.lookup(&device);
    u32 rises = level && (!before || !*before);
    irq_level.update(&device, &level);
    if (!rises)
        return;
    u32 owner = owner_of(device), thread = bpf_get_current_pid_tgid();
    if (owner == UNKNOWN && target->owners) /* another device's pin */
        return;
    u32 *given = giving.lookup(&thread);
    if (given && (*given & 0xff) <= RX) { /* a virtqueue's */
        interrupt(way, *given >> 8, *given & 0xff);
        giving.delete(&thread);
        return;
    }
    interrupt_of_last(way, owner);
}

/* pci_set_irq(device, level) */
int on_pci_set_irq(struct pt_regs *ctx) {
    struct target *target = traced();
    if (target)
        pin_set(target, INTERRUPT_PIN, PT_REGS_PARM1(ctx), (u32)PT_REGS_PARM2(ctx) != 0);
    return 0;
}

/* pci_irq_handler(device, pin, level): qemu_set_irq calls it for a line that pci_allocate_irq made for the card.
 * pci_set_irq calls it too, and has then set the level already. */
int on_pci_irq_handler(struct pt_regs *ctx) {
    struct target *target = traced();
    if (target)
        pin_set(target, INTERRUPT_LINE, PT_REGS_PARM1(ctx), (u32)PT_REGS_PARM3(ctx) != 0);
    return 0;
}

/* qemu_set_irq(line, level): every device's. Only a line that is known to be a card's own is looked at. */
int on_qemu_set_irq(struct pt_regs *ctx) {
    struct target *target = traced();
    u64 line = PT_REGS_PARM1(ctx);
    if (target && owner_of(line) != UNKNOWN)
        pin_set(target, INTERRUPT_WIRE, line, (u32)PT_REGS_PARM2(ctx) != 0);
    return 0;
}
