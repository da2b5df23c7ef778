"""What is measured in training and evaluation, one file each: classification, multilabel, segmentation, regression."""
