"""Masks kept by other people's training loops: Lightning, Hugging Face's Trainer and Accelerate; each an extra.

adapters.lightning.MaskCallback()                      in Trainer(callbacks=[...])
adapters.transformers.MaskCallback()                   in Trainer(..., callbacks=[...])
adapters.accelerate.keep_masks(accelerator, model, optimizer)
"""
