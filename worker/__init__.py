"""Does the work: charges, inquiries, events, and the operator's console."""
