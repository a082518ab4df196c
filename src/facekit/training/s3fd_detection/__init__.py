"""The recipe ``s3fd_detection``: S3FD as a detector."""
