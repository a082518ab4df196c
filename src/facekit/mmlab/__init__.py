"""What OpenMMLab's packages need around them: ops, configs, checkpoints, MMDetection 1.x.

:mod:`~facekit.mmlab.literal` and :mod:`~facekit.mmlab.migrate` need none of them;
:mod:`~facekit.mmlab.ops` makes mmdet importable where mmcv was installed without its compiled ops;
everything else imports mmdet itself.
"""
