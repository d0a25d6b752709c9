"""CORE: one number for a base model, from 22 tasks that ask it only to continue text.

Source: "DataComp-LM" (arXiv:2406.11794), section 3.5 and appendix G: the mean over the tasks of accuracy above chance.
"""
